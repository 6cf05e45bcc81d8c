"""What every storage does: a local folder, both S3 servers, and S3 behind a spool folder."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from frontend.errors import FileMissing
from frontend.storage.storage import FileName, Storage
from tests.frontend.storage.conftest import content

MIB = 1024 * 1024
VIDEO = FileName("video_1")


@pytest.mark.parametrize("size", [0, 1, 2 * MIB, 12 * MIB + 345])
async def test_what_is_stored_is_read(storage: Storage, size: int) -> None:
    data = os.urandom(size)
    stored = await storage.put(VIDEO, data, "video/mp4")
    found = await storage.head(VIDEO)
    assert found is not None
    assert (found.name, found.size, found.media_type) == (VIDEO, size, "video/mp4")
    assert found.sha256 == stored.sha256 == hashlib.sha256(data).hexdigest()
    assert await content(storage, found) == data


async def test_the_content_of_a_file_is_stored_likewise(storage: Storage, tmp_path: Path) -> None:
    data = os.urandom(6 * MIB)
    (tmp_path / "made.mp4").write_bytes(data)
    file = await storage.put(VIDEO, tmp_path / "made.mp4", "video/mp4")
    assert (file.size, await content(storage, file)) == (len(data), data)
    assert (tmp_path / "made.mp4").exists()


async def test_parts_are_read(storage: Storage) -> None:
    data = os.urandom(5 * MIB)
    file = await storage.put(VIDEO, data, "video/mp4")
    for part in (range(1), range(7, 100), range(2 * MIB - 1, 4 * MIB + 1), range(5 * MIB - 1, 5 * MIB)):
        assert await content(storage, file, part) == data[part.start : part.stop]


async def test_chunks_are_small(storage: Storage) -> None:
    file = await storage.put(VIDEO, os.urandom(20 * MIB), "video/mp4")
    assert max([len(chunk) async for chunk in await storage.read(file)]) <= 2 * MIB


async def test_files_of_a_job_are_told_apart(storage: Storage) -> None:
    names = [VIDEO, FileName("video_1", 1), FileName("video_1", 0, "thumbnail"), FileName("video_10")]
    for number, name in enumerate(names):
        await storage.put(name, bytes([number]), "video/mp4")
    for number, name in enumerate(names):
        file = await storage.head(name)
        assert file is not None
        assert await content(storage, file) == bytes([number])
    assert {file.name async for file in storage.list("video_1")} == set(names[:3])
    assert {file.name async for file in storage.list()} == set(names)
    assert [file async for file in storage.list("video")] == []


async def test_another_content_takes_the_place_of_the_first(storage: Storage) -> None:
    for data in (b"first", b"second", b"first"):
        await storage.put(VIDEO, data, "video/mp4")
        file = await storage.head(VIDEO)
        assert file is not None
        assert await content(storage, file) == data
    assert len([file async for file in storage.list()]) == 1


async def test_what_is_deleted_is_gone(storage: Storage) -> None:
    file = await storage.put(VIDEO, b"x", "video/mp4")
    await storage.put(FileName("video_1", 1), b"y", "video/mp4")
    await storage.delete(VIDEO)
    await storage.delete(VIDEO)
    assert await storage.head(VIDEO) is None
    with pytest.raises(FileMissing):
        await content(storage, file)
    assert await storage.head(FileName("video_1", 1)) is not None


async def test_nothing_is_nowhere(storage: Storage) -> None:
    assert await storage.head(VIDEO) is None
    assert [file async for file in storage.list()] == []


async def test_readers_see_whole_files_while_others_are_written(storage: Storage) -> None:
    data = [os.urandom(3 * MIB) for _ in range(4)]
    whole = {hashlib.sha256(one).hexdigest() for one in data}
    seen = 0

    async def read() -> None:
        nonlocal seen
        while not writing.done():
            async for file in storage.list():
                assert file.sha256 in whole
                assert hashlib.sha256(await content(storage, file)).hexdigest() == file.sha256
                seen += 1
            await asyncio.sleep(0)

    async def write() -> None:
        await asyncio.gather(
            *(storage.put(FileName(f"video_{index}"), one, "video/mp4") for index, one in enumerate(data))
        )

    await storage.put(FileName("video_first"), data[0], "video/mp4")
    writing = asyncio.create_task(write())
    await asyncio.gather(writing, *(read() for _ in range(3)))
    assert seen > 0
    assert len([file async for file in storage.list()]) == 5


async def test_one_name_written_by_several_ends_as_one_of_them(storage: Storage) -> None:
    data = os.urandom(MIB)
    await asyncio.gather(*(storage.put(VIDEO, data, "video/mp4") for _ in range(4)))
    file = await storage.head(VIDEO)
    assert file is not None
    assert await content(storage, file) == data


async def test_one_of_several_contents_that_are_written_at_the_same_time_is_left(storage: Storage) -> None:
    """Whoever wrote it, it is whole; and the next one replaces it."""
    data = [os.urandom(MIB) for _ in range(4)]
    await asyncio.gather(*(storage.put(VIDEO, one, "video/mp4") for one in data))
    file = await storage.head(VIDEO)
    assert file is not None
    assert await content(storage, file) in data
    await storage.put(VIDEO, b"next", "video/mp4")
    assert [(await content(storage, file)) async for file in storage.list()] == [b"next"]


@pytest.mark.parametrize(
    ("job_id", "part", "kind"),
    [
        ("..", 0, "video"),
        ("../x", 0, "video"),
        ("a/b", 0, "video"),
        ("", 0, "video"),
        ("x\0", 0, "video"),
        ("x\n", 0, "video"),
        ("é", 0, "video"),
        ("%2e%2e", 0, "video"),
        (".partial", 0, "video"),
        ("x" * 129, 0, "video"),
        ("x", -1, "video"),
        ("x", 10_000, "video"),
        ("x", 0, "../video"),
        ("x", 0, ""),
    ],
)
def test_names_that_could_lead_elsewhere_are_none(job_id: str, part: int, kind: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        FileName(job_id, part, kind)


async def test_a_listing_of_what_is_no_job_is_refused(storage: Storage) -> None:
    with pytest.raises(ValueError, match="a job id must be"):
        [file async for file in storage.list("../..")]


async def test_a_type_that_is_not_stored_is_refused(storage: Storage) -> None:
    with pytest.raises(ValueError, match="text/html is not among the stored types"):
        await storage.put(VIDEO, b"<script>", "text/html")
