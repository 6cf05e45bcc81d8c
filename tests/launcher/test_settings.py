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


def test_jobs_are_kept_in_the_run_folder_or_where_the_user_says(tmp_path: Path) -> None:
    assert Settings(tmp_path / "run").jobs_url == f"sqlite:///{tmp_path}/run/jobs.sqlite"
    assert Settings(tmp_path / "run", jobs="postgresql://host/jobs").jobs_url == "postgresql://host/jobs"


def test_a_password_in_the_place_of_jobs_is_not_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(Settings(tmp_path, jobs="postgresql://me:secret@host/jobs"))
