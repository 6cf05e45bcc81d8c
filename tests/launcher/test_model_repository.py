from pathlib import Path

import pytest

from launcher.errors import SetupError
from launcher.model_repository import read_repository
from tests.launcher.conftest import INCREMENT, write_model


def test_models_without_files_in_a_version_folder_are_missing(tmp_path: Path) -> None:
    write_model(tmp_path, "generate", INCREMENT)
    write_model(tmp_path, "wan_vae", INCREMENT)
    write_model(tmp_path, "qwen_image_vae", code=None)
    models = read_repository(tmp_path)
    assert models.exported == ("generate", "wan_vae")
    assert models.missing == ("qwen_image_vae",)


def test_version_folder_may_be_absent(tmp_path: Path) -> None:
    write_model(tmp_path, "wan_vae", INCREMENT)
    (tmp_path / "wan_text_encoder").mkdir()
    (tmp_path / "wan_text_encoder" / "config.pbtxt").touch()
    assert read_repository(tmp_path).missing == ("wan_text_encoder",)


def test_generate_alone_is_not_enough_where_others_wait_for_export(tmp_path: Path) -> None:
    write_model(tmp_path, "generate", INCREMENT)
    write_model(tmp_path, "wan_vae", code=None)
    with pytest.raises(SetupError, match="make export"):
        read_repository(tmp_path)


def test_folder_without_models(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"config\.pbtxt"):
        read_repository(tmp_path)


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--model-repository"):
        read_repository(tmp_path / "nowhere")
