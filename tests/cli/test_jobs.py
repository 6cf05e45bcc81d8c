"""`tritonreel jobs` against a real server."""

import json
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Run
from tests.frontend.fake_generator import FakeGenerator
from tests.waiting import wait_until


def ask(url: str, prompt: str = "a fox") -> str:
    """The id of a new job."""
    answer = httpx.post(f"{url}/v1/videos", json={"prompt": prompt}, headers={"Prefer": "respond-async"})
    return str(answer.json()["id"])


def status_of(url: str, job_id: str) -> str:
    return str(httpx.get(f"{url}/v1/jobs/{job_id}").json()["status"])


@pytest.fixture
def held(url: str, generator: FakeGenerator) -> str:
    """A job that runs."""
    generator.step_gate.clear()
    job_id = ask(url)
    wait_until(lambda: bool(generator.jobs))
    return job_id


def test_the_list(url: str, run: Run) -> None:
    run("video", "a red fox")
    run("image", "a heron\x1b[2J")

    done = run("jobs")

    head, image, video = done.stdout.splitlines()
    assert head.split() == ["ID", "STATUS", "AGE", "MODEL", "SIZE", "PROMPT"]
    assert image.split()[1] == video.split()[1] == "completed"
    assert image.endswith(r"toy-qwen-image  64x48    a heron\x1b[2J")
    assert video.endswith("toy-wan-t2v     64x48x9  a red fox")
    assert len(run("jobs", "--kind", "image").stdout.splitlines()) == 2
    assert "a red fox" in run("jobs", "--search", "RED").stdout
    assert "a heron" not in run("jobs", "--search", "RED").stdout
    (newest,) = json.loads(run("jobs", "--json", "--limit", "1").stdout)
    assert newest["kind"] == "image"
    assert f"--after {newest['id']}" in run("jobs", "--limit", "1").stderr
    assert run("jobs", "--status", "failed").stderr == "No jobs.\n"


def test_show(url: str, run: Run) -> None:
    job_id = ask(url)

    assert json.loads(run("jobs", "show", job_id).stdout)["id"] == job_id
    unknown = run("jobs", "show", "video_unknown")
    assert unknown.exit_code == 1
    assert "not found or expired" in unknown.stderr
    assert run("jobs", "show", "../models").exit_code == 1  # an id leads to no other route


def test_get_waits_and_writes(url: str, run: Run, folder: Path) -> None:
    job_id = ask(url)

    done = run("jobs", "get", job_id, "-o", "fox.mp4")

    assert (done.exit_code, done.stdout.partition(":")[0]) == (0, "fox.mp4")
    assert (folder / "fox.mp4").read_bytes()[4:8] == b"ftyp"
    assert run("jobs", "watch", job_id).stdout == f"{job_id}: completed, 64x48, 9 frames at 8 fps, toy-wan-t2v\n"


def test_cancel_stops_and_does_not_delete(url: str, run: Run, generator: FakeGenerator, held: str) -> None:
    assert run("jobs", "cancel", held).stdout == f"{held} is stopped.\n"
    wait_until(lambda: len(generator.cancelled) == 1)
    generator.step_gate.set()
    done = ask(url)
    wait_until(lambda: status_of(url, done) == "completed")

    kept = run("jobs", "cancel", done)

    assert kept.exit_code == 1
    assert f"tritonreel jobs delete {done}" in kept.stderr
    assert status_of(url, done) == "completed"
    assert run("jobs", "delete", done).exit_code == 0
    assert httpx.get(f"{url}/v1/jobs/{done}").status_code == 404
