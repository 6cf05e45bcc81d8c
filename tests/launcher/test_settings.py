from pathlib import Path

from launcher.settings import Settings


def test_jobs_are_kept_in_the_run_folder_or_where_the_user_says(tmp_path: Path) -> None:
    assert Settings(tmp_path / "run").jobs_url == f"sqlite:///{tmp_path}/run/jobs.sqlite"
    assert Settings(tmp_path / "run", jobs="postgresql://host/jobs").jobs_url == "postgresql://host/jobs"


def test_a_password_in_the_place_of_jobs_is_not_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(Settings(tmp_path, jobs="postgresql://me:secret@host/jobs"))
