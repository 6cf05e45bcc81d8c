from pathlib import Path

import pytest

from launcher.settings import Settings


def test_videos_are_kept_in_the_run_folder_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(run_dir=Path("run")).storage_location == str(tmp_path / "run" / "storage")
    assert Settings(run_dir=Path("run"), storage="videos").storage_location == str(tmp_path / "videos")
    url = "s3://videos/some/prefix?region=eu-central-1"
    assert Settings(run_dir=Path("run"), storage=url).storage_location == url
