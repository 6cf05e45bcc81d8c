"""What a person sees, and what Ctrl-C does."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.cli.terminal import Terminal
from tests.conftest import ROOT
from tests.frontend.conftest import triton  # noqa: F401
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.jobs.frontend_process import Frontend
from tests.frontend.scripted_triton import Scripted
from tests.waiting import wait_until


@pytest.fixture
def previewed(generator: FakeGenerator) -> FakeGenerator:
    """Its jobs have two previews, and wait before them and before their frames."""
    generator.previews = 2
    generator.previews_gate.clear()
    generator.frames_gate.clear()
    return generator


def video(url: str, folder: Path, **environment: str) -> Terminal:
    return Terminal("video", "a fox", "-o", "fox.mp4", "--url", url, folder=folder, **environment)


def test_the_progress_and_the_file(url: str, generator: FakeGenerator, folder: Path) -> None:
    generator.step_gate.clear()
    with video(url, folder) as terminal:
        terminal.wait_for("step 1 of 3")
        generator.step_gate.set()
        assert terminal.status() == 0
        assert "fox.mp4: 64x48, 9 frames at 8 fps, toy-wan-t2v, seed " in terminal.shown
        assert "\x1b_G" not in terminal.shown
        assert "\x1b]" not in terminal.shown
    assert (folder / "fox.mp4").exists()


def follow(terminal: Terminal, generator: FakeGenerator) -> str:
    """All that a terminal is shown of a job with previews."""
    terminal.wait_for("step 1 of 3")
    generator.previews_gate.set()
    wait_until(lambda: terminal.shown.count("\x1b8") >= 2, what="two previews")
    generator.frames_gate.set()
    assert terminal.status() == 0
    return terminal.shown


def test_previews_in_kitty(url: str, previewed: FakeGenerator, folder: Path) -> None:
    with video(url, folder, TERM="xterm-kitty") as terminal:
        shown = follow(terminal, previewed)

    drawn = re.findall(r"\x1b7\x1b\[14A\r\x1b_Ga=T,f=100,q=2,C=1,i=1,p=1,c=(\d+),r=14,m=0;([^\x1b]*)\x1b\\\x1b8", shown)
    assert [columns for columns, _ in drawn] == ["37", "37"]  # 64x48 in cells that are twice as high as wide
    pixels = []
    for _, data in drawn:
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.format == "PNG"
            pixels.append(image.convert("L").getpixel((1, 1)))
    assert pixels[0] != pixels[1]


def test_previews_in_iterm2(url: str, previewed: FakeGenerator, folder: Path) -> None:
    with video(url, folder, TERM_PROGRAM="iTerm.app") as terminal:
        shown = follow(terminal, previewed)

    drawn = re.findall(
        r"\x1b7\x1b\[14A\r\x1b\]1337;File=inline=1;size=(\d+);width=37;height=14;[^:]*:([^\x07]*)\x07", shown
    )
    assert len(drawn) == 2
    assert all(int(size) == len(base64.b64decode(data)) for size, data in drawn)


def test_no_previews_where_nobody_wants_them(url: str, previewed: FakeGenerator, folder: Path) -> None:
    with Terminal("video", "a fox", "--no-preview", "--url", url, folder=folder, TERM="xterm-kitty") as terminal:
        terminal.wait_for("step 1 of 3")
        previewed.previews_gate.set()
        previewed.frames_gate.set()
        assert terminal.status() == 0
        assert "\x1b_G" not in terminal.shown


def test_ctrl_c_stops_the_job_at_the_server(url: str, generator: FakeGenerator, folder: Path) -> None:
    generator.step_gate.clear()
    with video(url, folder) as terminal:
        terminal.wait_for("step 1 of 3")
        terminal.press_ctrl_c()
        assert terminal.status() == 130
        assert "is stopped at the server too" in terminal.shown
    wait_until(lambda: len(generator.cancelled) == 1)
    assert list(folder.iterdir()) == []
    assert httpx.get(f"{url}/v1/jobs").json()["data"] == []


def test_ctrl_c_stops_the_watching_alone(url: str, generator: FakeGenerator, folder: Path) -> None:
    generator.step_gate.clear()
    job_id = httpx.post(f"{url}/v1/videos", json={"prompt": "x"}, headers={"Prefer": "respond-async"}).json()["id"]
    with Terminal("jobs", "watch", job_id, "--url", url, folder=folder) as terminal:
        terminal.wait_for("step 1 of 3")
        terminal.press_ctrl_c()
        assert terminal.status() == 130
        assert f"tritonreel jobs get {job_id}" in terminal.shown
    generator.step_gate.set()
    wait_until(lambda: httpx.get(f"{url}/v1/jobs/{job_id}").json()["status"] == "completed")


@pytest.fixture
def frontend(triton: Scripted, folder: Path) -> Iterator[Frontend]:  # noqa: F811
    """A process in front of a real tritonserver."""
    jobs = f"sqlite:///{folder.parent}/jobs.sqlite"
    frontend = Frontend(folder.parent, triton.url, jobs, PYTHONPATH=str(ROOT))
    frontend.start()
    yield frontend
    frontend.kill()


@pytest.mark.slow
def test_a_server_that_is_lost_can_be_asked_later(frontend: Frontend, folder: Path) -> None:
    made = ("video", "steady", "--steps", "30", "-o", "fox.mp4")
    with Terminal(*made, "--url", frontend.url, folder=folder) as terminal:
        terminal.wait_for("step 2 of 30")
        frontend.kill()
        assert terminal.status() == 1
        found = re.search(r"tritonreel jobs get (\S+)", terminal.shown)
    assert found is not None
    frontend.start()
    with Terminal("jobs", "get", found[1], "-o", "fox.mp4", "--url", frontend.url, folder=folder) as terminal:
        assert terminal.status() == 0, terminal.shown
    assert (folder / "fox.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.slow
def test_a_real_tritonserver_tells_its_steps(frontend: Frontend, folder: Path) -> None:
    with Terminal("video", "steady", "--steps", "4", "--url", frontend.url, folder=folder) as terminal:
        terminal.wait_for("step 2 of 4")
        assert terminal.status() == 0
    (file,) = folder.glob("steady-*.mp4")
    assert file.stat().st_size > 0


def test_ctrl_c_stops_a_benchmark_and_its_jobs(url: str, generator: FakeGenerator, folder: Path) -> None:
    generator.step_gate.clear()
    with Terminal("bench", "-c", "2", "--url", url, folder=folder) as terminal:
        wait_until(lambda: len(generator.jobs) == 2)
        terminal.press_ctrl_c()
        assert terminal.status() == 130
    wait_until(lambda: len(generator.cancelled) == 2)
