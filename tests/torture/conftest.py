"""One server of every family whose every valid request is small, and how long to go on."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ONE_OF_EACH_FAMILY, Exported
from tests.server.running_server import RunningServer

MAX_PIXEL_FRAMES = 96 * 96 * 9


@dataclass(frozen=True)
class Effort:
    """How much of each attack."""

    examples: int
    """requests per route that schemathesis makes up"""
    kills: int
    """of each process"""
    soak_seconds: float


@pytest.fixture(scope="session")
def effort(request: pytest.FixtureRequest) -> Effort:
    if request.config.getoption("--torture"):
        return Effort(examples=2000, kills=3, soak_seconds=600)
    return Effort(examples=25, kills=1, soak_seconds=15)


@pytest.fixture(scope="session")
def repository(tiny: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny checkpoints of every family whose cards allow small videos and images only."""
    exported = [tiny(layout) for layout in ONE_OF_EACH_FAMILY]
    folder = tmp_path_factory.mktemp("torture") / "model_repository"
    shutil.copytree(exported[0].repository, folder)
    for file in folder.glob("generate/1/*/card.json"):
        card = json.loads(file.read_text())
        card["limits"] |= {"max_frames": 9, "max_pixel_frames": MAX_PIXEL_FRAMES}
        card["defaults"] |= {"num_inference_steps": 2, "width": 32, "height": 32, "num_frames": 1}
        file.write_text(json.dumps(card))
    return folder


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server for the attacks of one module."""
    with RunningServer(repository, tmp_path_factory.mktemp("run")) as running:
        yield running


@pytest.fixture
def survives(server: RunningServer) -> Iterator[None]:
    """Fails the test after which the server has lost a process or makes no images any more."""
    before = {process.pid for process in server.processes()}
    yield
    response = server.post_image(prompt="still there?")
    assert response.status_code == 200, response.text
    assert before <= {process.pid for process in server.processes()}  # more decode images
