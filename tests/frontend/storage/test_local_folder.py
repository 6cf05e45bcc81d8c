"""What can go wrong with a folder: a full disk, a process that is killed, content that changes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from frontend.errors import FileDamaged, StorageUnavailable
from frontend.storage.local_folder import LocalFolder
from frontend.storage.storage import FileName, Storage
from tests.frontend.storage.conftest import content

MIB = 1024 * 1024
VIDEO = FileName("video_1")
SCRIPT = [sys.executable, "-m", "tests.frontend.storage.scripts"]


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "storage")


def on_a_small_disk(disk: Path, *script: str, env: dict[str, str] | None = None) -> list[str]:
    """The lines that a script prints where the folder `disk` is a file system of 1 MiB."""
    disk.mkdir()
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this user may not mount a file system")
    mount = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", mount, str(disk), *SCRIPT, *script]
    done = subprocess.run(
        command, env=os.environ | (env or {}), check=True, stdout=subprocess.PIPE, text=True, timeout=60
    )
    return done.stdout.splitlines()


def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    """Nothing is left of the file, and a smaller one can be stored afterwards."""
    disk = tmp_path / "disk"
    assert on_a_small_disk(disk, "fill", str(disk / "storage")) == [
        "the disk of the storage folder is full: make space, then try again",
        "['video_0'] []",
        "True",
    ]


async def test_a_process_that_is_killed_while_it_writes_leaves_nothing_to_read(
    folder: LocalFolder, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen([*SCRIPT, "put", str(folder.folder), str(pipe)])
    with pipe.open("wb", buffering=0) as source:
        source.write(b"x" * (3 * MIB))  # returns when all but what a pipe holds was taken
        process.kill()
        process.wait(60)
    (partial,) = (folder.folder / ".partial").iterdir()
    assert partial.stat().st_size >= MIB
    assert await folder.head(VIDEO) is None
    assert [file async for file in folder.list()] == []
    await folder.start()
    assert partial.exists()  # for all that is known somebody still writes it
    os.utime(partial, (0, 0))
    await folder.start()
    assert not partial.exists()


async def test_content_that_has_changed_is_not_given_out_to_its_end(folder: LocalFolder) -> None:
    file = await folder.put(VIDEO, b"x" * (5 * MIB), "video/mp4")
    folder.path_of(file).write_bytes(b"x" * (5 * MIB - 1) + b"y")
    chunks = await folder.read(file)
    read = 0

    async def read_on() -> None:
        nonlocal read
        async for chunk in chunks:
            read += len(chunk)

    with pytest.raises(FileDamaged):
        await read_on()
    assert 0 < read < file.size


async def test_a_file_that_is_not_all_there_is_not_there(folder: LocalFolder) -> None:
    file = await folder.put(VIDEO, b"x" * 100, "video/mp4")
    os.truncate(folder.path_of(file), 99)
    assert await folder.head(VIDEO) is None
    with pytest.raises(FileDamaged):
        await content(folder, file)
    again = await folder.put(VIDEO, b"x" * 100, "video/mp4")
    assert await content(folder, again) == b"x" * 100
    os.truncate(folder.path_of(file), 99)
    await folder.delete(VIDEO)
    assert not folder.path_of(file).exists()


async def test_who_has_begun_to_read_goes_on_when_the_file_is_deleted(folder: LocalFolder) -> None:
    data = os.urandom(3 * MIB)
    chunks = await folder.read(await folder.put(VIDEO, data, "video/mp4"))
    await folder.delete(VIDEO)
    assert b"".join([chunk async for chunk in chunks]) == data


async def test_what_else_is_in_the_folder_is_let_be(folder: LocalFolder) -> None:
    others = [folder.folder / name for name in ("notes.txt", "video_1/notes.txt", "video_1/0-video-5-abc.mp4")]
    (folder.folder / "video_1").mkdir()
    for other in others:
        other.write_text("hello")
    assert [file async for file in folder.list()] == []
    await folder.put(VIDEO, b"x", "video/mp4")
    await folder.delete(VIDEO)
    assert all(other.exists() for other in others)


async def test_files_are_for_their_owner_alone(folder: LocalFolder) -> None:
    file = await folder.put(VIDEO, b"x", "video/mp4")
    path = folder.path_of(file)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for parent in (path.parent, folder.folder / ".partial"):
        assert stat.S_IMODE(parent.stat().st_mode) == 0o700


async def test_the_folder_of_a_job_goes_with_its_last_file(folder: LocalFolder) -> None:
    await folder.put(VIDEO, b"x", "video/mp4")
    await folder.delete(VIDEO)
    assert [path.name for path in folder.folder.iterdir()] == [".partial"]


def test_a_folder_that_cannot_be_made_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageUnavailable, match="the storage folder cannot be used: Not a directory"):
        LocalFolder(tmp_path / "file" / "storage")


async def test_a_folder_has_no_urls(folder: LocalFolder) -> None:
    storage: Storage = folder
    assert await storage.signed_url(await storage.put(VIDEO, b"x", "video/mp4"), 60) is None
