from pathlib import Path

import pytest

from frontend.jobs.files import FolderFiles


@pytest.fixture
def files(tmp_path: Path) -> FolderFiles:
    return FolderFiles(tmp_path / "files")


async def test_what_is_put_can_be_got_and_replaced(files: FolderFiles) -> None:
    await files.put("a/1.mp4", b"first")
    await files.put("a/1.mp4", b"second")
    assert await files.get("a/1.mp4") == b"second"
    assert await files.get("a/2.mp4") is None
    assert await files.get("b/1.mp4") is None


async def test_nothing_is_left_beside_the_files(files: FolderFiles, tmp_path: Path) -> None:
    await files.put("a/1.mp4", b"x")
    (tmp_path / "files" / "b").write_text("a file where a folder has to be")
    with pytest.raises(OSError, match="b"):
        await files.put("b/1.mp4", b"x")
    assert [path.name for path in (tmp_path / "files" / "a").iterdir()] == ["1.mp4"]


async def test_all_files_of_a_folder_are_removed_or_all_but_some(files: FolderFiles, tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b/1"):
        await files.put(name, b"x")
    await files.remove("a", keep=["a/2"])
    assert [await files.get(name) for name in ("a/1", "a/2", "b/1")] == [None, b"x", b"x"]
    await files.remove("a")
    await files.remove("a")
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["b"]
