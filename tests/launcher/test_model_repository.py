from pathlib import Path

import pytest

from launcher.errors import SetupError
from launcher.model_repository import read_repository
from tests.launcher.conftest import INCREMENT, write_model, write_stamp
from tests.model_cards import model_card, text_to_image_card


def test_models_without_files_in_a_version_folder_are_not_loaded(tmp_path: Path) -> None:
    write_model(tmp_path, "generate", INCREMENT)
    write_model(tmp_path, "wan_vae", INCREMENT)
    write_model(tmp_path, "qwen_image_vae", code=None)
    (tmp_path / "wan_text_encoder").mkdir()
    (tmp_path / "wan_text_encoder" / "config.pbtxt").touch()
    models = read_repository(tmp_path)
    assert models.load == ("generate", "wan_vae")


def test_generate_alone_is_not_enough_where_others_wait_for_export(tmp_path: Path) -> None:
    write_model(tmp_path, "generate", INCREMENT)
    write_model(tmp_path, "wan_vae", code=None)
    with pytest.raises(SetupError, match="python -m export"):
        read_repository(tmp_path)


def test_folder_without_models(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"config\.pbtxt"):
        read_repository(tmp_path)


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--model-repository"):
        read_repository(tmp_path / "nowhere")


@pytest.fixture
def two_checkpoints(tmp_path: Path) -> Path:
    """A text-to-video checkpoint of one transformer and a text-to-image one, both exported."""
    write_model(tmp_path, "generate", INCREMENT)
    for card in (model_card("video", experts=1), text_to_image_card("image")):
        (tmp_path / "generate" / "1" / card.family).mkdir()
        card.write(tmp_path / "generate" / "1" / card.family)
        for name in card.components.names():
            write_model(tmp_path, name, INCREMENT)
    write_stamp(tmp_path)
    return tmp_path


def served(repository: Path, *chosen: str) -> list[str]:
    exports = read_repository(repository, chosen).exports
    return [checkpoint.card.id for checkpoint in exports.complete.values()]


def test_all_checkpoints_are_served_unless_some_are_chosen(two_checkpoints: Path) -> None:
    assert len(read_repository(two_checkpoints).load) == 7
    assert served(two_checkpoints) == ["image", "video"]


def test_a_chosen_checkpoint_brings_what_it_runs_on_and_nothing_else(two_checkpoints: Path) -> None:
    models = read_repository(two_checkpoints, ["video"])
    assert models.load == ("generate", "wan_t2v_transformer", "wan_text_encoder", "wan_vae")
    assert served(two_checkpoints, "video") == ["video"]


def test_checkpoints_are_served_in_the_order_chosen(two_checkpoints: Path) -> None:
    assert served(two_checkpoints, "video", "image") == ["video", "image"]
    assert served(two_checkpoints, "image", "video") == ["image", "video"]


def test_an_unknown_checkpoint_is_refused_with_those_that_there_are(two_checkpoints: Path) -> None:
    with pytest.raises(SetupError, match=r"no model 'sora' in .*; exported there: image, video"):
        read_repository(two_checkpoints, ["video", "sora"])


def test_what_an_exported_checkpoint_lacks_is_missing(two_checkpoints: Path) -> None:
    write_model(two_checkpoints, "wan_vae_encoder", code=None)
    assert read_repository(two_checkpoints).missing == ()
    (two_checkpoints / "wan_vae" / "1" / "model.py").unlink()
    assert read_repository(two_checkpoints).missing == ("wan_vae",)
    assert served(two_checkpoints) == ["image"]


def test_a_chosen_checkpoint_without_its_weights_is_refused(two_checkpoints: Path) -> None:
    (two_checkpoints / "wan_vae" / "1" / "model.py").unlink()
    with pytest.raises(SetupError, match=r"wan_vae .* has no weights"):
        read_repository(two_checkpoints, ["video"])


@pytest.mark.parametrize(
    "text",
    ['{"id": "video", "family": "wan_t2v"}', model_card("video", experts=1, family="sora").model_dump_json()],
    ids=["other fields", "a family that is not known"],
)
def test_a_card_of_another_release_keeps_no_other_checkpoint_from_being_served(
    two_checkpoints: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    card = two_checkpoints / "generate" / "1" / "wan_t2v" / "card.json"
    card.write_text(text)
    assert served(two_checkpoints) == ["image"]
    (record,) = caplog.records
    assert f"{card} is not a model card of this release" in record.message
    assert f"Run: python -m export PATH/TO/CHECKPOINT --to {two_checkpoints}" in record.message


def test_an_older_repository_is_refused_with_the_command_to_run(two_checkpoints: Path) -> None:
    (two_checkpoints / "repository.json").unlink()
    with pytest.raises(SetupError, match="was written by an older release of Tritonreel") as raised:
        read_repository(two_checkpoints)
    assert "(qwen_image, wan_t2v)" in str(raised.value)
    assert f"python -m export PATH/TO/CHECKPOINT --to {two_checkpoints}" in str(raised.value)
