"""Files as clients get them."""

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from frontend.app import create_app
from frontend.http.ranges import file_response
from frontend.settings import Settings
from frontend.storage.storage import FileName, Storage
from tests.frontend.conftest import Serve, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.storage.s3_server import BUCKET, KEYS, S3Server
from tests.waiting import SECONDS

MIB = 1024 * 1024
URL = "/v1/videos"


@pytest.fixture(params=["local", "rclone"])
def large_file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[psutil.Process, str]]:
    """A server in a process of its own that has a file of 100 MiB, and the URL of that."""
    location = str(tmp_path / "storage")
    if request.param != "local":
        s3: S3Server = request.getfixturevalue("rclone")
        location = f"s3://{BUCKET}/{tmp_path.name}?endpoint={s3.endpoint}"
    command = [sys.executable, "-m", "tests.frontend.storage.serve_file", str(tmp_path), "100", location]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | KEYS) as process:
        assert process.stdout is not None
        yield psutil.Process(process.pid), f"http://127.0.0.1:{process.stdout.readline().strip()}/file"
        process.kill()


def peak_memory(process: psutil.Process) -> int:
    """The most memory in bytes that a process has had since `reset_peak`."""
    (line,) = [line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) * 1024


def reset_peak(process: psutil.Process) -> int:
    """Forget the peak. What it has now."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    return peak_memory(process)


async def test_a_video_of_100_mb_takes_less_than_50_mb_of_memory_for_several_clients(
    large_file: tuple[psutil.Process, str], tmp_path: Path
) -> None:
    process, url = large_file
    digest = hashlib.sha256((tmp_path / "source").read_bytes()).hexdigest()

    async def download(client: httpx.AsyncClient) -> str:
        hashed = hashlib.sha256()
        async with client.stream("GET", url) as response:
            assert response.headers["Content-Length"] == str(100 * MIB)
            async for chunk in response.aiter_bytes():
                hashed.update(chunk)
        return hashed.hexdigest()

    async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
        await client.get(url, headers={"Range": "bytes=0-1"})
        idle = reset_peak(process)
        assert await asyncio.gather(*(download(client) for _ in range(3))) == [digest] * 3
        used = peak_memory(process) - idle
        assert used < 50 * MIB


async def test_head_reads_nothing_of_the_file(large_file: tuple[psutil.Process, str]) -> None:
    process, url = large_file
    async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
        await client.head(url)
        before = process.io_counters().read_chars
        head = await client.head(url)
        assert head.headers["Content-Length"] == str(100 * MIB)
        assert process.io_counters().read_chars - before < MIB


async def made_video(client: httpx.AsyncClient) -> str:
    """The id of a finished video."""
    made = await client.post(URL, json={"prompt": "a red circle"})
    assert made.status_code == 200
    return str(made.json()["id"])


def file_of(storage_folder: Path, video_id: str) -> Path:
    (path,) = (storage_folder / video_id).iterdir()
    return path


async def test_the_etag_is_the_contents(client: httpx.AsyncClient, storage_folder: Path) -> None:
    video_id = await made_video(client)
    answer = await client.get(f"{URL}/{video_id}/content")
    assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    assert file_of(storage_folder, video_id).read_bytes() == answer.content


async def test_a_file_that_is_gone_is_404(client: httpx.AsyncClient, storage_folder: Path) -> None:
    video_id = await made_video(client)
    file_of(storage_folder, video_id).unlink()
    answer = await client.get(f"{URL}/{video_id}/content")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "video_not_found")


async def test_a_damaged_file_is_500_and_says_so(client: httpx.AsyncClient, storage_folder: Path) -> None:
    video_id = await made_video(client)
    path = file_of(storage_folder, video_id)
    path.write_bytes(bytes(path.stat().st_size))
    answer = await client.get(f"{URL}/{video_id}/content")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "file_damaged")


async def test_a_large_damaged_file_ends_before_its_end(serve: Serve, storage_folder: Path) -> None:
    """The client can tell: less came than Content-Length says."""
    app = create_app(Settings(), FakeGenerator())
    storage: Storage = app.state.services.storage
    file = await storage.put(FileName("video_1"), os.urandom(6 * MIB), "video/mp4")
    with file_of(storage_folder, "video_1").open("r+b") as stored:
        stored.seek(5 * MIB)
        stored.write(b"damaged")

    async def get_file(request: Request) -> Response:
        return await file_response(request, file, storage, {})

    app.add_api_route("/file", get_file)
    with serve(app) as url:
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
                await client.get(f"{url}/file")


async def test_a_storage_that_fails_is_told_to_the_client(generator: FakeGenerator, storage_folder: Path) -> None:
    app: FastAPI = create_app(Settings(), generator)
    (storage_folder / ".partial").rmdir()
    storage_folder.rmdir()
    storage_folder.write_text("in the way")
    async with client_of(app) as client:
        answer = await client.post(URL, json={"prompt": "a red circle"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (503, "storage_unavailable")
    assert error["message"].startswith("the storage folder cannot be used")
    assert str(storage_folder) not in error["message"]


async def test_files_that_no_job_has_are_deleted_when_they_are_too_old(serve: Serve, storage_folder: Path) -> None:
    before = create_app(Settings(), FakeGenerator()).state.services.storage
    for job_id in ("video_old", "video_new"):
        await before.put(FileName(job_id), b"x", "video/mp4")
    long_ago = time.time() - 25 * 3600
    os.utime(file_of(storage_folder, "video_old"), (long_ago, long_ago))
    with serve(create_app(Settings(), FakeGenerator())):
        async with asyncio.timeout(SECONDS):
            while {file.name.job_id async for file in before.list()} != {"video_new"}:
                await asyncio.sleep(0.05)
