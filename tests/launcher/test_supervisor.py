"""What dies or hangs is brought back, however often; what keeps dying is said, and the API stays up."""

import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tritonclient import grpc

from tests.launcher.conftest import COUNT, INCREMENT, Launched, write_model
from tests.waiting import wait_until

Launch = Callable[..., Launched]


def test_killed_model_process_is_replaced_and_its_region_removed(launch: Launch, repository: Path) -> None:
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    server, stub = launched.tritonserver(), launched.stub("increment")

    stub.process.kill()

    launched.wait_for("the process of model increment ended; bringing it back now")
    launched.wait_for("model increment is back")
    assert launched.increment(1) == 2
    assert launched.tritonserver() == server
    assert len(launched.shm_regions) == 1
    assert stub.region not in launched.shm_regions


def test_killed_tritonserver_is_started_again(launch: Launch, repository: Path) -> None:
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    regions_before = launched.shm_regions
    launched.tritonserver().kill()
    launched.wait_for("tritonserver was killed by SIGKILL; bringing it back now")
    launched.wait_for("tritonserver is back")
    assert launched.increment(1) == 2
    assert len(launched.shm_regions) == 1
    assert launched.shm_regions != regions_before


def test_open_stream_of_a_killed_decoupled_model_ends_with_an_error(launch: Launch, repository: Path) -> None:
    write_model(repository, "count", COUNT, decoupled=True)
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    tensor = grpc.InferInput("x", [1], "FP32")
    tensor.set_data_from_numpy(np.array([600], np.float32))
    with grpc.InferenceServerClient(f"127.0.0.1:{launched.ports.grpc}") as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer("count", [tensor])
        _, error = answers.get(timeout=5)
        assert error is None

        launched.stub("count").process.kill()

        killed = time.monotonic()
        while error is None:
            _, error = answers.get(timeout=5)
        assert time.monotonic() - killed < 5
    launched.wait_for("tritonserver is back")
    assert launched.increment(1) == 2


def test_model_that_the_launcher_did_not_unload_is_loaded_again(launch: Launch, repository: Path) -> None:
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")

    launched.control().unload("increment")

    launched.wait_for("model increment was unloaded, and not by this launcher; bringing it back now")
    launched.wait_for("model increment is back")
    assert launched.increment(1) == 2
    assert len(launched.shm_regions) == 1


def test_model_that_somebody_loaded_anew_is_watched_on(launch: Launch, repository: Path) -> None:
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    before = launched.stub("increment")
    (repository / "increment" / "1" / "model.py").write_text(INCREMENT.replace("x + 1", "x + 2"))

    launched.control().load("increment")

    wait_until(lambda: not before.alive, 10, "the old process ended")
    time.sleep(1.2)  # two rounds of the supervisor
    assert launched.increment(1) == 3
    assert "bringing it back" not in launched.output
    launched.stub("increment").process.kill()
    launched.wait_for("model increment is back")


@pytest.mark.parametrize("name", ["model increment", "tritonserver"])
def test_what_keeps_dying_is_said_and_brought_back_all_the_same(launch: Launch, repository: Path, name: str) -> None:
    launched = launch(repository, "--no-frontend", "--restart-limit", "1")
    launched.wait_for("ready in")

    def victim() -> psutil.Process:
        return launched.tritonserver() if name == "tritonserver" else launched.stub("increment").process

    for times in range(1, 3):
        victim().kill()
        launched.wait_for(f"{name} is back", times=times)

    assert f"{name} keeps dying (2 times in a row); see {launched.run_dir / 'logs' / 'triton.log'}" in launched.output
    wait_until(lambda: launched.away() == {}, 5, "nothing is away")
    assert launched.increment(1) == 2


def test_what_does_not_load_again_is_tried_until_it_does(launch: Launch, repository: Path) -> None:
    launched = launch(repository, "--no-frontend", "--restart-limit", "1")
    launched.wait_for("ready in")
    code = repository / "increment" / "1" / "model.py"
    code.write_text("raise RuntimeError('the disk is gone')")
    launched.stub("increment").process.kill()
    launched.wait_for("model increment keeps dying (3 times in a row)")
    assert "the disk is gone" in launched.output
    assert "keeps dying (3 times in a row, see triton.log)" in launched.away()["model increment"]

    code.write_text(INCREMENT)

    launched.wait_for("model increment is back")
    assert launched.increment(1) == 2


def test_a_missing_repository_is_waited_for(launch: Launch, repository: Path, tmp_path: Path) -> None:
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    repository.rename(tmp_path / "elsewhere")
    launched.tritonserver().kill()
    launched.wait_for("does not exist")

    (tmp_path / "elsewhere").rename(repository)

    launched.wait_for("tritonserver is back")
    assert launched.increment(1) == 2


def test_models_that_die_together_come_back_together(launch: Launch, repository: Path) -> None:
    write_model(repository, "decrement", INCREMENT)
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    server = launched.tritonserver()
    for model in ("increment", "decrement"):
        launched.stub(model).process.kill()
    launched.wait_for("model increment is back")
    launched.wait_for("model decrement is back")
    assert launched.tritonserver() == server
    assert launched.increment(1, "decrement") == launched.increment(1) == 2
