"""What can go wrong with a bucket: keys, a missing bucket, a server that is away, a process that is killed."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import obstore
import pytest
from obstore.store import S3Store

from frontend.errors import FileDamaged, StorageError, StorageRefused, StorageUnavailable
from frontend.storage.location import DEFAULT_REGION, Bucket
from frontend.storage.object_key import key_of
from frontend.storage.s3_bucket import S3Bucket
from frontend.storage.storage import FileName, Storage
from tests.frontend.storage.conftest import content
from tests.frontend.storage.s3_server import BUCKET, KEYS, S3Server
from tests.waiting import SECONDS

if TYPE_CHECKING:
    from obstore.store import S3Config

MIB = 1024 * 1024
VIDEO = FileName("video_1")
SCRIPT = [sys.executable, "-m", "tests.frontend.storage.scripts"]


async def errors_of(storage: Storage) -> list[StorageError]:
    """What comes of writing, looking and deleting."""
    found = []
    for attempt in (storage.put(VIDEO, b"x", "video/mp4"), storage.head(VIDEO), storage.delete(VIDEO)):
        with pytest.raises(StorageError) as error:
            await attempt
        found.append(error.value)
    return found


@pytest.mark.parametrize("wrong", [{"AWS_SECRET_ACCESS_KEY": "hidden"}, {"AWS_ACCESS_KEY_ID": "AKIAHIDDEN"}])
async def test_wrong_keys_are_named_as_the_reason_and_not_repeated(
    rclone: S3Server, wrong: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    for error in await errors_of(rclone.bucket(**wrong)):
        assert isinstance(error, StorageRefused)
        assert error.message.startswith("the storage refuses the server's keys")
        for secret in (*KEYS.values(), *wrong.values()):
            assert secret not in f"{error.message} {error!r} {error.__cause__!r} {caplog.text}"


@pytest.mark.parametrize("server", ["rclone", "moto"])
async def test_a_missing_bucket_is_named_as_the_reason(server: str, request: pytest.FixtureRequest) -> None:
    s3: S3Server = request.getfixturevalue(server)
    for error in await errors_of(s3.bucket("another-bucket")):
        assert isinstance(error, StorageRefused)
        assert error.message == "the storage has no such bucket: make it, or name another"


async def test_a_server_that_is_not_there() -> None:
    for error in await errors_of(S3Bucket(Bucket(BUCKET, endpoint="http://127.0.0.1:9"), KEYS)):
        assert isinstance(error, StorageUnavailable)
        assert error.message == "the storage cannot be used (connection refused)"


async def test_a_url_is_valid_for_its_time_and_its_file_alone(rclone: S3Server) -> None:
    bucket = rclone.bucket()
    data = os.urandom(1000)
    url = await bucket.signed_url(await bucket.put(VIDEO, data, "video/mp4"), 600)
    brief = await bucket.signed_url(await bucket.put(FileName("video_2"), data, "video/mp4"), 1)
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in url
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
        assert (answer.status_code, answer.content) == (200, data)
        assert (await client.get(url.replace("video_1", "video_2"))).status_code == 403
        assert (await client.get(url.replace("X-Amz-Expires=600", "X-Amz-Expires=6000"))).status_code == 403
        async with asyncio.timeout(SECONDS):
            while (await client.get(brief)).status_code == 200:
                await asyncio.sleep(0.2)


async def test_a_url_has_the_type_of_the_file(moto: S3Server) -> None:
    bucket = moto.bucket()
    url = await bucket.signed_url(await bucket.put(VIDEO, b"x", "video/mp4"), 60)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url)).headers["Content-Type"] == "video/mp4"


async def test_an_object_that_has_changed_is_not_given_out_to_its_end(rclone: S3Server) -> None:
    bucket = rclone.bucket(prefix="changed")
    file = await bucket.put(VIDEO, b"x" * 100, "video/mp4")
    config: S3Config = {
        "endpoint": rclone.endpoint,
        "region": DEFAULT_REGION,
        "access_key_id": KEYS["AWS_ACCESS_KEY_ID"],
        "secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"],
    }
    store = S3Store(BUCKET, prefix="changed", config=config, client_options={"allow_http": True})
    await obstore.put_async(store, key_of(file), b"y" * 100)
    with pytest.raises(FileDamaged):
        await content(bucket, file)


@asynccontextmanager
async def stalling_proxy(port: int, after_bytes: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A port before a server that takes `after_bytes` of a connection and no more, and whether it has come to that."""
    stalled = asyncio.Event()
    serving: list[asyncio.Task[None]] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: float) -> None:
        while data := await reader.read(65536):
            limit -= len(data)
            if limit > 0:
                writer.write(data)
                await writer.drain()
            else:
                stalled.set()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        there = forward(reader, there_writer, after_bytes)
        back = forward(there_reader, writer, float("inf"))
        await asyncio.gather(there, back, return_exceptions=True)
        for end in (there_writer, writer):
            end.close()
            with suppress(OSError):
                await end.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], stalled
    finally:
        server.close()
        await asyncio.gather(*serving)


@pytest.mark.parametrize("size", [4 * MIB, 20 * MIB], ids=["one request", "several parts"])
async def test_a_process_that_is_killed_while_it_uploads_leaves_nothing_to_read(
    s3: S3Server, tmp_path: Path, size: int
) -> None:
    (tmp_path / "made.mp4").write_bytes(os.urandom(size))
    bucket = s3.bucket(prefix="")
    async with stalling_proxy(s3.port, 2 * MIB) as (port, stalled), asyncio.timeout(60):
        command = [*SCRIPT, "put", f"http://127.0.0.1:{port}", str(tmp_path / "made.mp4")]
        process = subprocess.Popen(command, env=os.environ | KEYS)
        await stalled.wait()
        process.kill()
        process.wait()
    assert await bucket.head(VIDEO) is None
    assert [file async for file in bucket.list()] == []
    file = await bucket.put(VIDEO, tmp_path / "made.mp4", "video/mp4")
    assert await content(bucket, file) == (tmp_path / "made.mp4").read_bytes()
