"""Checkpoints that come and go while the server runs, without a restart and without touching the jobs of others."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from protocol.model_card import ModelCard
from protocol.repository import REPOSITORY_FILE
from tests.conftest import Exported

from .running_server import RunningServer

LONG: dict[str, Any] = {
    "prompt": "a red circle",
    "model": "tiny-two-experts",
    "size": "64x48",
    "num_inference_steps": 100,
    "num_frames": 33,
}
"""a job that takes a while"""


class Repository:
    """A repository that checkpoints are put into and taken out of, as exports and people do it."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self.folder = folder
        (folder / "generate" / "1").mkdir(parents=True)
        for file in ("generate/config.pbtxt", "generate/1/model.py", REPOSITORY_FILE):
            shutil.copyfile(source / file, folder / file)

    def card(self, family: str) -> ModelCard:
        return ModelCard.read(self._source / "generate" / "1" / family)

    def put(self, family: str) -> None:
        """The models first, the card last, each by a rename."""
        for model in self.card(family).components.names():
            if not (self.folder / model / "1").exists():
                (self.folder / model).mkdir(exist_ok=True)
                shutil.copyfile(self._source / model / "config.pbtxt", self.folder / model / "config.pbtxt")
                self._move_in(f"{model}/1")
        self._move_in(f"generate/1/{family}")

    def remove(self, family: str) -> None:
        """The card first, then the models that nobody else has."""
        shutil.rmtree(self.folder / "generate" / "1" / family)
        for model in self.card(family).components.names():
            shutil.rmtree(self.folder / model / "1")

    def touch(self, family: str) -> None:
        """As if it had been exported anew."""
        self._move_in(f"generate/1/{family}")
        self._move_in(f"{self.card(family).components.transformer}/1")

    def _move_in(self, unit: str) -> None:
        new = self.folder.with_name("new")
        shutil.copytree(self._source / unit, new)
        if (self.folder / unit).exists():
            shutil.rmtree(self.folder / unit)
        new.rename(self.folder / unit)


@pytest.fixture(scope="module")
def repository(tiny: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """With the text-to-video checkpoint in it."""
    tiny("qwen-image")
    made = Repository(tiny("two-experts").repository, tmp_path_factory.mktemp("checkpoints") / "repository")
    made.put("wan_t2v")
    return made


@pytest.fixture(scope="module")
def server(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(repository.folder, tmp_path_factory.mktemp("server")) as running:
        yield running


def served(server: RunningServer) -> set[str]:
    return {model["id"] for model in httpx.get(f"{server.url}/v1/models").json()["data"]}


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def is_loaded(server: RunningServer, model: str) -> bool:
    try:
        server.stub(model)
    except AssertionError:
        return False
    return True


@contextmanager
def job_under_way(server: RunningServer) -> Iterator[None]:
    """A long job runs when the block begins, and succeeds."""
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(server.post(**LONG)))
    thread.start()
    wait_until(lambda: bool(answers) or server.metric("jobs_running") == 1, "the job runs")
    assert answers == [], answers[0].text
    yield
    thread.join(120)
    assert [answer.status_code for answer in answers] == [200], answers[0].text


def console(server: RunningServer) -> str:
    return (server.run_dir / "launcher.out").read_text()


def test_one_appears_and_goes_while_a_job_of_another_runs(server: RunningServer, repository: Repository) -> None:
    assert served(server) == {"tiny-two-experts"}
    tritonserver, generate = server.tritonserver(), server.stub("generate")
    with job_under_way(server):
        repository.put("qwen_image")
        wait_until(lambda: "tiny-qwen-image" in served(server), "the new model is served")
    assert server.post_image(prompt="a red circle", model="tiny-qwen-image", size="64x64").status_code == 200

    with job_under_way(server):
        repository.remove("qwen_image")
        wait_until(lambda: served(server) == {"tiny-two-experts"}, "the removed model is not served")
        wait_until(lambda: not is_loaded(server, "qwen_image_transformer"), "its models are unloaded")
    refused = server.post_image(prompt="a red circle", model="tiny-qwen-image", size="64x64")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert (server.tritonserver(), server.stub("generate")) == (tritonserver, generate)
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}


def test_one_that_goes_ends_its_job_first(server: RunningServer, repository: Repository) -> None:
    repository.put("qwen_image")
    wait_until(lambda: "tiny-qwen-image" in served(server), "another model is served")
    with job_under_way(server):
        repository.remove("wan_t2v")
        wait_until(lambda: served(server) == {"tiny-qwen-image"}, "the removed model is not served")
        refused = server.post(**LONG)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    wait_until(lambda: not is_loaded(server, "wan_t2v_transformer"), "its models are unloaded")
    repository.put("wan_t2v")
    wait_until(lambda: "tiny-two-experts" in served(server), "it is back")
    assert server.post(prompt="a red circle", size="64x48").status_code == 200


def test_one_that_is_exported_anew_is_loaded_when_its_job_is_done(
    server: RunningServer, repository: Repository
) -> None:
    before = server.stub("wan_t2v_transformer"), server.stub("wan_text_encoder")
    said = console(server).count("tiny-two-experts takes no more jobs")
    with job_under_way(server):
        repository.touch("wan_t2v")
        # on the console, as it may be back before /v1/models is asked again
        wait_until(
            lambda: console(server).count("tiny-two-experts takes no more jobs") == said + 1,
            "the former takes no more jobs",
        )
    wait_until(lambda: not before[0].is_running(), "its models are loaded anew")
    wait_until(
        lambda: server.post(prompt="a red circle", size="64x48").status_code == 200, "a job of the new one succeeds"
    )


def test_a_server_starts_with_those_that_work(
    tiny: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tiny("qwen-image")
    folder = tmp_path_factory.mktemp("broken")
    made = Repository(tiny("two-experts").repository, folder / "repository")
    made.put("wan_t2v")
    made.put("qwen_image")
    (made.folder / "generate" / "1" / "qwen_image" / "tokenizer.json").write_text("{}")
    with RunningServer(made.folder, folder / "run") as server:
        assert served(server) == {"tiny-two-experts"}
        assert server.post(prompt="a red circle", size="64x48").status_code == 200
        wait_until(lambda: "tiny-qwen-image is not served" in console(server), "the console says it")
        (coming,) = httpx.get(f"{server.url}/v1/models").json()["coming"]
        assert (coming["id"], coming["status"]) == ("tiny-qwen-image", "failed")
        assert "tokenizer.json is not a tokenizer" in coming["stage"]
        wait_until(lambda: not is_loaded(server, "qwen_image_transformer"), "its models are unloaded")


def test_one_that_cannot_be_served_is_said_and_the_others_go_on(server: RunningServer, repository: Repository) -> None:
    folder = repository.folder / "generate" / "1" / "wan_ti2v"
    folder.mkdir()
    (folder / "card.json").write_text("{}")
    wait_until(lambda: "wan_ti2v is not served" in console(server), "the broken card is said")
    wait_until(
        lambda: "is not a model card of this release" in httpx.get(f"{server.url}/health").json().get("note", ""),
        "/health says it, and is well",
    )
    coming = httpx.get(f"{server.url}/v1/models").json()["coming"]
    assert [(one["id"], one["status"]) for one in coming] == [("wan_ti2v", "failed")]
    assert server.post(prompt="a red circle", size="64x48").status_code == 200

    card = json.loads((repository.folder / "generate" / "1" / "wan_t2v" / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"id": "no-tokenizer", "family": "wan_ti2v"}))
    wait_until(lambda: "no-tokenizer is not served" in console(server), "`generate` cannot take it in")
    assert server.post(prompt="a red circle", size="64x48").status_code == 200

    shutil.rmtree(folder)
    wait_until(lambda: httpx.get(f"{server.url}/health").json() == {"status": "ok"}, "all is well again")
