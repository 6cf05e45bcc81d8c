"""Models that come and go on a real tritonserver: what is away on purpose is no death, and what dies is one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.model_swap import ModelSwap
from launcher.ports import resolve
from launcher.repository_api import RepositoryError
from launcher.settings import Ports, Settings
from launcher.stub_processes import live_stubs
from launcher.triton_server import TritonServer
from tests.waiting import wait_until

from .conftest import BROKEN, INCREMENT, write_model, write_stamp

MODEL = "increment"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("swap")
    repository = folder / "models"
    write_model(repository, MODEL, INCREMENT)
    write_model(repository, "other", INCREMENT)
    write_stamp(repository)
    settings = Settings(folder / "run", repository, ports=resolve(Ports(0, 0, 0)), shm_region_mib=1)
    with TritonServer(settings) as running:
        write_model(repository, "broken", BROKEN)
        running.swap.take_in([MODEL, "broken"])
        yield running


@pytest.fixture
def swap(server: TritonServer) -> ModelSwap:
    """With the model loaded."""
    server.swap.load(MODEL)
    return server.swap


def has_process(server: TritonServer) -> bool:
    return bool(live_stubs(server.pid).get(MODEL))


def test_what_is_unloaded_has_no_process_when_that_is_done(server: TritonServer, swap: ModelSwap) -> None:
    assert has_process(server)
    swap.unload(MODEL)
    assert not has_process(server)
    assert swap.is_away(MODEL)

    swap.load(MODEL)
    assert has_process(server)
    assert not swap.is_away(MODEL)


def test_both_may_be_asked_for_twice(server: TritonServer, swap: ModelSwap) -> None:
    moves = swap.moves(MODEL)
    swap.load(MODEL)
    assert swap.moves(MODEL) == moves
    swap.unload(MODEL)
    swap.unload(MODEL)
    assert not has_process(server)


def test_only_what_is_there_is_watched_and_expected(server: TritonServer, swap: ModelSwap) -> None:
    assert MODEL in server.watched_models
    swap.unload(MODEL)
    assert server.watched_models == ["other"]
    assert server.models_there == {"other"}
    assert server.model_death(MODEL) is None

    swap.load(MODEL)
    assert server.model_death(MODEL) is None
    assert MODEL in server.watched_models


def test_one_that_dies_after_it_came_back_is_noticed_and_brought_back(server: TritonServer, swap: ModelSwap) -> None:
    swap.unload(MODEL)
    swap.load(MODEL)
    (stub,) = live_stubs(server.pid)[MODEL]
    stub.process.kill()
    wait_until(lambda: not stub.alive, 10, "it is dead")

    assert server.model_death(MODEL) == "the process of model increment ended"
    assert server.reload([MODEL]) == {}
    assert server.model_death(MODEL) is None


def test_one_that_has_gone_by_then_is_not_brought_back(server: TritonServer, swap: ModelSwap) -> None:
    swap.unload(MODEL)
    assert server.reload([MODEL]) == {}
    assert not has_process(server)


def test_one_that_is_dead_can_be_unloaded_and_loaded(server: TritonServer, swap: ModelSwap) -> None:
    (stub,) = live_stubs(server.pid)[MODEL]
    stub.process.kill()
    swap.unload(MODEL)
    swap.load(MODEL)
    assert has_process(server)


def test_one_that_cannot_be_loaded_stays_away(server: TritonServer, swap: ModelSwap) -> None:
    with pytest.raises(RepositoryError, match="the weights are missing"):
        swap.load("broken")
    assert swap.is_away("broken")


def test_one_that_is_not_served_is_not_loaded(swap: ModelSwap) -> None:
    with pytest.raises(RepositoryError, match="not served"):
        swap.load("unknown")


def test_where_models_of_a_start_stay_nothing_listens(server: TritonServer) -> None:
    assert not Path(server.socket.swap).exists()
