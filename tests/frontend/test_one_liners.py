"""The commands that the README and the launcher print, run as a person runs them: they make a file, or say why not."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from fastapi import FastAPI
from PIL import Image

from frontend.errors import EngineUnavailable
from frontend.http.access import decide_access
from launcher.settings import Settings
from launcher.what_next import what_next
from tests.conftest import ROOT
from tests.frontend.conftest import NOWHERE, Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import only_job
from tests.model_cards import image_to_video_card, model_card, text_to_image_card

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")]

DEFAULT_URL = "http://127.0.0.1:8000"
NOBODY = NOWHERE.removesuffix("/metrics")
CARDS = [model_card(), image_to_video_card(), text_to_image_card()]


def commands() -> dict[str, str]:
    """Each by where it stands."""
    readme = re.findall(r"```sh\n(curl .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    told = what_next(Settings(run_dir=Path("run/8000")), DEFAULT_URL, CARDS)
    printed = re.findall(r"^  (curl .*?\n)(?=\S)", told, re.DOTALL | re.MULTILINE)
    assert (len(readme), len(printed)) == (1, 3)
    return {"README": readme[0], **dict(zip(("text", "image", "text to image"), printed, strict=True))}


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator(CARDS)


@pytest.fixture
def url(serve: Serve, app: FastAPI) -> Iterator[str]:
    with serve(app) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the image that one of the commands sends."""
    Image.new("RGB", (64, 48), "red").save(tmp_path / "image.png")
    return tmp_path


def run(command: str, url: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", **environment}
    script = command.replace(DEFAULT_URL, url)
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def test_the_readme_and_the_launcher_say_the_same() -> None:
    last = [command.rstrip().splitlines()[-1].strip() for command in commands().values()]
    assert len({line.replace("image.png", "video.mp4") for line in last}) == 1
    assert max(map(len, last)) < 220


@pytest.mark.parametrize("where", commands())
def test_it_makes_a_file(where: str, url: str, generator: FakeGenerator, folder: Path) -> None:
    done = run(commands()[where], url, folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    only_job(generator)
    if where == "text to image":
        with Image.open(folder / "image.png") as image:
            assert image.size == (64, 48)
        return
    with av.open(folder / "video.mp4") as container:
        assert len(list(container.decode(video=0))) == 9


@pytest.mark.parametrize("where", commands())
def test_an_error_is_the_servers_sentence_and_no_file(
    where: str, url: str, generator: FakeGenerator, folder: Path
) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    generator.error_for = lambda params: EngineUnavailable("Triton is away")
    done = run(commands()[where], url, folder)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Triton is away\n")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize("where", commands())
def test_where_no_model_is_served_it_says_so(where: str, url: str, generator: FakeGenerator, folder: Path) -> None:
    generator.cards = [CARDS[0] if where == "text to image" else CARDS[2]]
    done = run(commands()[where], url, folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no served model" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "video.mp4").exists()


@pytest.mark.parametrize("where", commands())
def test_without_a_server_it_is_curl_that_says_so(where: str, folder: Path) -> None:
    before = {file.name for file in folder.iterdir()}
    done = run(commands()[where], NOBODY, folder)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("curl: (7) ")
    assert {file.name for file in folder.iterdir()} == before


def test_with_a_wrong_key_too(serve: Serve, generator: FakeGenerator, folder: Path) -> None:
    from frontend.app import create_app
    from frontend.settings import Settings as FrontendSettings

    key = "a-key-for-a-container"
    access = decide_access("127.0.0.1", folder / "keys.json", key, no_auth=False)
    told = what_next(Settings(run_dir=Path("run/8000")), DEFAULT_URL, [model_card()], access)
    (command,) = re.findall(r"^  (curl .*?\n)(?=\S)", told, re.DOTALL | re.MULTILINE)
    app = create_app(FrontendSettings.model_validate({"triton_metrics_url": NOWHERE, "api_key": key}), generator)
    with serve(app) as url:
        refused = run(command, url, folder, TRITONREEL_API_KEY="another")
        served = run(command, url, folder, TRITONREEL_API_KEY=key)
    assert (refused.returncode, served.returncode) == (1, 0)
    assert "API key" in refused.stderr
    assert (folder / "video.mp4").exists()
