"""Families by name, and by what a checkpoint's model_index.json says."""

import json
from pathlib import Path

import pytest

from export.errors import CheckpointError, UnknownFamily
from export.families import FAMILIES, get_family, recognise_family
from protocol.sampling import SPECS


def index(folder: Path, **entries: object) -> Path:
    (folder / "model_index.json").write_text(json.dumps(entries))
    return folder


@pytest.mark.parametrize(
    ("pipeline", "expand_timesteps", "family"),
    [
        ("WanPipeline", None, "wan_t2v"),
        ("WanPipeline", False, "wan_t2v"),
        ("WanPipeline", True, "wan_ti2v"),
        ("WanImageToVideoPipeline", False, "wan_i2v"),
        ("WanImageToVideoPipeline", True, "wan_ti2v"),
        ("QwenImagePipeline", None, "qwen_image"),
    ],
)
def test_a_checkpoint_is_recognised(pipeline: str, expand_timesteps: bool | None, family: str, tmp_path: Path) -> None:
    entries = {} if expand_timesteps is None else {"expand_timesteps": expand_timesteps}
    assert recognise_family(index(tmp_path, _class_name=pipeline, **entries)).name == family


def test_another_pipeline_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"says FluxPipeline, which is of no known family \(QwenImagePipeline, Wan"
    ):
        recognise_family(index(tmp_path, _class_name="FluxPipeline"))


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownFamily, match="unknown family 'sora'; known: wan_t2v, wan_i2v, wan_ti2v, qwen_image"):
        get_family("sora")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_triton_model_of_a_family_is_its_own(name: str) -> None:
    models = [part.model for part in get_family(name).parts]
    assert len(set(models)) == len(models)


def test_every_family_has_a_spec() -> None:
    assert list(FAMILIES) == list(SPECS)
