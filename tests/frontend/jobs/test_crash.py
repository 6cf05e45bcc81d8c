"""Real frontends before a real tritonserver, killed while they run jobs: no job is lost, and none ends twice."""

import io
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from tests.frontend.jobs.frontend_process import Frontend, Place
from tests.frontend.scripted_triton import Scripted
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def place(sqlite_url: str, tmp_path: Path) -> Iterator[Place]:
    place = Place(sqlite_url, tmp_path)
    yield place
    place.close()


@pytest.fixture
def shared_place(postgres_url: str, tmp_path: Path) -> Iterator[Place]:
    name = f"crash_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    place = Place(make_url(postgres_url).set(database=name).render_as_string(), tmp_path)
    yield place
    place.close()


def packets_of(mp4: bytes) -> list[bytes]:
    """The encoded frames."""
    with av.open(io.BytesIO(mp4), "r") as container:
        return [bytes(packet) for packet in container.demux(video=0)]


def test_each_job_of_a_frontend_that_is_killed_ends_once(tmp_path: Path, place: Place) -> None:
    triton = Scripted(tmp_path / "triton")
    frontend = Frontend(tmp_path, triton.url, place.url)
    names = [f"crash-{number}" for number in range(12)]
    ids: dict[str, str] = {}
    try:
        triton.server.start()
        frontend.start()
        for name in names:
            frontend.ask(name, "held at 1")
        wait_until(lambda: len(place.jobs()) == len(names))
        ids = {name: job.spec.id for name, job in place.jobs().items()}
        for _ in range(2):
            wait_until(lambda: place.count("in_progress") == len(names))
            frontend.kill()
            left = place.jobs()
            frontend.start()
            for name, job in place.jobs().items():
                assert job.state.progress >= left[name].state.progress
        triton.release()
        wait_until(lambda: place.has_completed(len(names)))
        for name, job_id in ids.items():
            described = httpx.get(f"{frontend.url}/v1/videos/{job_id}").json()
            assert (described["id"], described["status"], described["progress"]) == (job_id, "completed", 100)
            content = httpx.get(f"{frontend.url}/v1/videos/{job_id}/content").content
            assert content[4:8] == b"ftyp", name
    finally:
        frontend.kill()
        triton.server.kill()
    assert {name: job.spec.id for name, job in place.jobs().items()} == ids
    place.assert_files()


def test_a_frontend_that_is_told_to_stop_parks_its_jobs(tmp_path: Path, triton: Scripted, place: Place) -> None:
    frontend = Frontend(tmp_path, triton.url, place.url)
    try:
        frontend.start()
        for number in range(3):
            frontend.ask(f"parked-{number}", "slow")
        wait_until(lambda: place.count("in_progress") == 3)
        frontend.stop()
        left = place.jobs()
        assert {job.state.status for job in left.values()} == {"in_progress"}
        frontend.start()
        wait_until(lambda: all(job.fence > left[name].fence for name, job in place.jobs().items()))
        wait_until(lambda: all(triton_runs(triton, name) == 2 for name in left))
    finally:
        frontend.kill()


def _ask_for_all(names: list[str], first: Frontend, second: Frontend, place: Place) -> None:
    """Jobs of both frontends, held after their first step."""
    for number, name in enumerate(names):
        (first if number % 3 else second).ask(name, "held at 1")
    wait_until(lambda: place.count("in_progress") == len(names))


def _assert_all_completed(names: list[str], frontend: Frontend, place: Place) -> None:
    """Wait for it; the frontend has to say so of each."""
    wait_until(lambda: place.has_completed(len(names)))
    for job in place.jobs().values():
        assert httpx.get(f"{frontend.url}/v1/videos/{job.spec.id}").json()["status"] == "completed"


def test_another_frontend_takes_over_the_jobs_of_one_that_is_gone(tmp_path: Path, shared_place: Place) -> None:
    triton = Scripted(tmp_path / "triton")
    first, second = (Frontend(tmp_path, triton.url, shared_place.url) for _ in range(2))
    names = [f"shared-{number}" for number in range(12)]
    try:
        triton.server.start()
        first.start()
        second.start()
        _ask_for_all(names, first, second, shared_place)
        first.kill()
        triton.release()
        _assert_all_completed(names, second, shared_place)
    finally:
        first.kill()
        second.kill()
        triton.server.kill()
    shared_place.assert_files()


@pytest.mark.long
def test_two_frontends_share_two_tritonservers_and_lose_one_of_each(tmp_path: Path, shared_place: Place) -> None:
    tritons = [Scripted(tmp_path / name) for name in ("lost", "left")]
    urls = ",".join(triton.url for triton in tritons)
    first, second = (Frontend(tmp_path, urls, shared_place.url) for _ in range(2))
    names = [f"shared-{number}" for number in range(12)]
    try:
        for triton in tritons:
            triton.server.start()
        first.start()
        second.start()
        _ask_for_all(names, first, second, shared_place)
        for triton in tritons:
            assert sum(triton_runs(triton, name) for name in names) >= 3
        first.kill()
        tritons[0].server.kill()
        tritons[1].release()
        _assert_all_completed(names, second, shared_place)
        tritons[0].server.start()
        wait_until(lambda: all(one["healthy"] for one in httpx.get(f"{second.url}/v1/servers").json()["data"]))
    finally:
        first.kill()
        second.kill()
        for triton in tritons:
            triton.server.kill()
    shared_place.assert_files()


def test_jobs_outlive_both_the_frontend_and_tritonserver(tmp_path: Path, place: Place) -> None:
    triton = Scripted(tmp_path / "triton")
    frontend = Frontend(tmp_path, triton.url, place.url)
    names = [f"both-{number}" for number in range(4)]
    try:
        triton.server.start()
        frontend.start()
        for name in names:
            frontend.ask(name, "held at 1")
        wait_until(lambda: place.count("in_progress") == len(names))
        frontend.kill()
        triton.server.kill()
        frontend.start()
        wait_until(lambda: all(job.fence == 2 for job in place.jobs().values()))
        triton.release()
        triton.server.start()
        wait_until(lambda: place.has_completed(len(names)))
    finally:
        frontend.kill()
        triton.server.kill()
    place.assert_files()


@pytest.mark.parametrize("victim", ["frontend", "both"])
def test_a_long_job_goes_on_from_its_last_step(tmp_path: Path, place: Place, victim: str) -> None:
    triton = Scripted(tmp_path / "triton")
    frontend = Frontend(tmp_path, triton.url, place.url, TRITONREEL_CHECKPOINT_SECONDS="0.01")
    fields: dict[str, Any] = {"seed": 5, "num_inference_steps": 12}
    try:
        triton.server.start()
        frontend.start()
        frontend.ask("whole", "quick", **fields)
        wait_until(lambda: place.count("completed") == 1)
        frontend.ask("resumed", "held at 6", **fields)
        wait_until(lambda: any(b'"step": 6' in content for content in place.contents("checkpoint")))
        frontend.kill()
        triton.release()
        if victim == "both":
            triton.server.kill()
            triton.server.start()
        frontend.start()
        wait_until(lambda: place.has_completed(2))
        first, *later = (line["resumed"] for line in triton.log() if line.get("request_id") == "resumed")
        ids = {name: job.spec.id for name, job in place.jobs().items()}
        contents = [httpx.get(f"{frontend.url}/v1/videos/{job_id}/content").content for job_id in ids.values()]
    finally:
        frontend.kill()
        triton.server.kill()
    assert first == 0
    assert later
    assert min(later) >= 6
    assert steps_of(triton, "resumed") <= sum(12 - step for step in (first, *later))
    assert packets_of(contents[0]) == packets_of(contents[1])  # the prompts, which the files tell, differ
    place.assert_files()


@pytest.mark.long
def test_thirty_jobs_under_random_deaths_of_frontend_and_tritonserver(tmp_path: Path, place: Place) -> None:
    triton = Scripted(tmp_path / "triton")
    settings = {"TRITONREEL_MAX_RUNNING_JOBS": "3", "TRITONREEL_CHECKPOINT_SECONDS": "0.2"}
    frontend = Frontend(tmp_path, triton.url, place.url, **settings)
    names = [f"random-{number}" for number in range(30)]
    chance = random.Random(15)
    try:
        triton.server.start()
        frontend.start()
        for name in names:
            frontend.ask(name)
        wait_until(lambda: len(place.jobs()) == len(names))
        frontend.kill()  # a client that still waits would be told of tritonserver's death, and its job would fail
        frontend.start()
        ids = {name: job.spec.id for name, job in place.jobs().items()}
        for victim in chance.choices(("frontend", "tritonserver", "both"), weights=(3, 1, 1), k=6):
            time.sleep(chance.uniform(0.2, 2.5))
            if victim != "tritonserver":
                frontend.kill()
            if victim != "frontend":
                triton.server.kill()
                triton.server.start()
            if victim != "tritonserver":
                frontend.start()
        wait_until(lambda: place.has_completed(len(names)), seconds=900)
    finally:
        frontend.kill()
        triton.server.kill()
    assert {name: job.spec.id for name, job in place.jobs().items()} == ids
    place.assert_files()


def steps_of(triton: Scripted, request_id: str) -> int:
    return sum(line.get("stepped") == request_id for line in triton.log())


def triton_runs(triton: Scripted, request_id: str) -> int:
    return sum(line.get("request_id") == request_id for line in triton.log())
