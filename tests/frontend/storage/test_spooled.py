"""S3 that goes away and comes back, behind a spool folder."""

import asyncio
import os
from itertools import pairwise
from pathlib import Path

import pytest

from frontend.errors import StorageRefused, StorageUnavailable
from frontend.storage.local_folder import LocalFolder
from frontend.storage.retry import until_available
from frontend.storage.spooled import SpooledStorage
from frontend.storage.storage import FileName
from tests.frontend.storage.conftest import content
from tests.frontend.storage.s3_server import KEYS, S3Server
from tests.frontend.storage.test_local_folder import on_a_small_disk
from tests.waiting import until

VIDEO = FileName("video_1")
DATA = os.urandom(100_000)


@pytest.fixture
def spool(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "spool")


@pytest.fixture
def spooled(s3: S3Server, spool: LocalFolder) -> SpooledStorage:
    return SpooledStorage(s3.bucket(), spool, patience_seconds=0.5, pause_seconds=0.2)


def waiting(spool: LocalFolder) -> list[Path]:
    return [path for path in spool.folder.glob("*/*") if path.parent.name != ".partial"]


async def test_what_is_uploaded_leaves_the_spool_folder(
    spooled: SpooledStorage, spool: LocalFolder, s3: S3Server
) -> None:
    file = await spooled.put(VIDEO, DATA, "video/mp4")
    assert waiting(spool) == []
    assert await content(s3.bucket(), file) == DATA
    assert await spooled.signed_url(file, 60) is not None


@pytest.mark.parametrize(
    "s3", ["rclone"], indirect=True
)  # moto comes back without the bucket, and gets it a moment later
async def test_storage_that_comes_back_in_time_is_waited_for(s3: S3Server, spool: LocalFolder) -> None:
    s3.kill()
    spooled = SpooledStorage(s3.bucket(), spool, patience_seconds=60)
    putting = asyncio.create_task(spooled.put(VIDEO, DATA, "video/mp4"))
    await until(lambda: waiting(spool) != [])
    assert not putting.done()
    await asyncio.to_thread(s3.start)
    file = await putting
    assert waiting(spool) == []
    assert await content(s3.bucket(), file) == DATA


async def test_storage_that_stays_away_is_the_reason_and_the_file_is_uploaded_later(
    s3: S3Server, spooled: SpooledStorage, spool: LocalFolder, caplog: pytest.LogCaptureFixture
) -> None:
    await spooled.start()
    s3.kill()
    with pytest.raises(StorageUnavailable, match=r"the storage cannot be used \(connection refused\)"):
        await spooled.put(VIDEO, DATA, "video/mp4")
    assert "file waits for its upload" in caplog.text
    assert spooled.trouble is not None
    assert "connection refused" in spooled.trouble
    assert not any(secret in caplog.text for secret in KEYS.values())
    file = await spooled.head(VIDEO)
    assert file is not None
    assert await content(spooled, file) == DATA  # from here
    assert await spooled.signed_url(file, 60) is None
    await asyncio.to_thread(s3.start)
    await until(lambda: waiting(spool) == [])
    await until(lambda: spooled.trouble is None)
    assert await content(s3.bucket(), file) == DATA
    assert await content(spooled, file) == DATA
    await spooled.close()


async def test_another_process_uploads_what_one_has_left(s3: S3Server, spool: LocalFolder) -> None:
    await spool.put(VIDEO, DATA, "video/mp4")
    again = SpooledStorage(s3.bucket(), LocalFolder(spool.folder))
    await again.start()
    await until(lambda: waiting(spool) == [])
    assert await s3.bucket().head(VIDEO) is not None
    await again.close()


async def test_keys_that_are_refused_are_not_tried_for_long_and_the_file_stays(
    rclone: S3Server, spool: LocalFolder
) -> None:
    spooled = SpooledStorage(rclone.bucket(AWS_SECRET_ACCESS_KEY="wrong"), spool, patience_seconds=3600)
    async with asyncio.timeout(30):
        with pytest.raises(StorageRefused, match="the storage refuses the server's keys"):
            await spooled.put(VIDEO, DATA, "video/mp4")
    assert len(waiting(spool)) == 1
    mended = SpooledStorage(rclone.bucket(), spool)
    await mended.start()
    await until(lambda: waiting(spool) == [])
    await mended.close()


async def test_what_waits_is_listed_is_never_too_old_and_can_be_deleted(moto: S3Server, spool: LocalFolder) -> None:
    spooled = SpooledStorage(moto.bucket(prefix="waits"), spool)
    file = await spool.put(VIDEO, DATA, "video/mp4")
    os.utime(spool.path_of(file), (0, 0))
    (listed,) = [file async for file in spooled.list()]
    assert listed.name == VIDEO
    assert listed.stored_at > 1000.0
    await spooled.delete(VIDEO)
    assert waiting(spool) == []


async def test_a_damaged_file_is_not_uploaded(
    moto: S3Server, spool: LocalFolder, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = moto.bucket(prefix="damaged")
    damaged = await spool.put(VIDEO, DATA, "video/mp4")
    spool.path_of(damaged).write_bytes(bytes(len(DATA)))
    await spool.put(FileName("video_2"), DATA, "video/mp4")
    spooled = SpooledStorage(bucket, spool, pause_seconds=0.1)
    await spooled.start()
    await until(lambda: len(waiting(spool)) == 1)
    await until(lambda: "file cannot be uploaded" in caplog.text)
    assert [file.name async for file in bucket.list()] == [FileName("video_2")]
    assert caplog.text.count("file cannot be uploaded") == 1
    await spooled.close()


def test_where_the_spool_folder_is_full_files_are_uploaded_at_once(moto: S3Server, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    script = ("spool_on_a_full_disk", str(disk / "spool"), moto.endpoint)
    assert on_a_small_disk(disk, *script, env=KEYS) == ["True"]


async def test_pauses_between_attempts_grow_and_end() -> None:
    loop = asyncio.get_running_loop()
    attempts: list[float] = []

    async def attempt() -> None:
        attempts.append(loop.time())
        raise StorageUnavailable("away")

    with pytest.raises(StorageUnavailable, match="away"):
        await until_available(attempt, 1.0)
    pauses = [after - before for before, after in pairwise(attempts)]
    assert len(pauses) >= 1
    assert pauses == sorted(pauses)
