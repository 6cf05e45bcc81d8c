"""I2V-A14B and TI2V-5B: their cards, what is refused, and their graphs beside those of text-to-video."""

import json
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

from export.checkpoint import open_checkpoint, read_json
from export.component import TOLERANCE
from export.defaults import read_defaults
from export.errors import CheckpointError
from export.families import recognise_family
from export.family import Family
from export.graph import Session
from export.options import Precision
from export.tiny import LayoutName, build
from export.wan_i2v import WAN_I2V
from export.wan_t2v import WAN_T2V
from export.wan_ti2v import WAN_TI2V
from protocol.model_card import Components, ModelCard
from runtime.banded_vae import BANDS, MIDDLE
from tests.conftest import Exported

FAMILIES = {LayoutName.I2V: WAN_I2V, LayoutName.TI2V: WAN_TI2V}


@pytest.fixture
def i2v(tmp_path: Path) -> Path:
    build(tmp_path / "i2v", LayoutName.I2V)
    return tmp_path / "i2v"


@pytest.fixture
def ti2v(tmp_path: Path) -> Path:
    build(tmp_path / "ti2v", LayoutName.TI2V)
    return tmp_path / "ti2v"


def card_of(folder: Path, family: Family) -> ModelCard:
    return family.card(open_checkpoint(folder, family.layout), read_defaults(folder))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(read_json(path) | changes))


def test_without_defaults_json_it_is_wan2_2_i2v_a14b(i2v: Path) -> None:
    (i2v / "defaults.json").unlink()
    card = card_of(i2v, WAN_I2V)
    assert (card.id, card.family, card.tasks) == ("wan2.2-i2v-a14b", "wan_i2v", ("image-to-video",))
    own = card.defaults
    assert (own.width, own.height, own.num_frames, own.fps, own.num_inference_steps) == (832, 480, 81, 16, 40)
    assert (own.guidance_scale, own.guidance_scale_2, own.flow_shift, own.boundary_ratio) == (3.5, 3.5, 5.0, 0.9)
    assert card.components == Components(
        text_encoder="wan_text_encoder",
        transformer="wan_i2v_transformer",
        transformer_2="wan_i2v_transformer_2",
        vae="wan_vae",
        vae_encoder="wan_vae_encoder",
    )
    assert card.limits.size_multiple == 16


def test_without_defaults_json_it_is_wan2_2_ti2v_5b(ti2v: Path) -> None:
    (ti2v / "defaults.json").unlink()
    card = card_of(ti2v, WAN_TI2V)
    assert (card.id, card.family, card.tasks) == ("wan2.2-ti2v-5b", "wan_ti2v", ("text-to-video", "image-to-video"))
    own = card.defaults
    assert (own.width, own.height, own.num_frames, own.fps, own.num_inference_steps) == (1280, 704, 121, 24, 50)
    assert (own.guidance_scale, own.guidance_scale_2, own.flow_shift, own.boundary_ratio) == (5.0, None, 5.0, None)
    assert card.components == Components(
        text_encoder="wan_text_encoder",
        transformer="wan_ti2v_transformer",
        vae="wan_ti2v_vae",
        vae_encoder="wan_ti2v_vae_encoder",
    )
    assert card.limits.size_multiple == 32
    latents, vae = card.latents, read_json(ti2v / "vae" / "config.json")
    assert (latents.channels, latents.temporal_stride, latents.spatial_stride) == (48, 4, 16)
    assert (list(latents.mean), list(latents.std)) == (vae["latents_mean"], vae["latents_std"])


def test_ti2v_is_published_under_either_pipeline_class(ti2v: Path) -> None:
    edit(ti2v / "model_index.json", _class_name="WanImageToVideoPipeline", image_encoder=[None, None])
    assert recognise_family(ti2v) is WAN_TI2V
    assert card_of(ti2v, WAN_TI2V).family == "wan_ti2v"


REFUSALS: dict[str, tuple[Callable[[Path], None], str]] = {
    "Wan2.1's transformer": (
        lambda c: edit(c / "transformer" / "config.json", image_dim=1280),
        "has a CLIP image encoder, as Wan2.1's image-to-video models do",
    ),
    "Wan2.1's image encoder": (
        lambda c: edit(c / "model_index.json", image_encoder=["transformers", "CLIPVisionModel"]),
        "has a CLIP image encoder",
    ),
    "no room for the image": (
        lambda c: edit(c / "transformer_2" / "config.json", in_channels=16),
        "transformer_2 has 16 channels in and 16 out; wan_i2v with this VAE has 36 and 16",
    ),
    "timestep per token": (
        lambda c: edit(c / "model_index.json", expand_timesteps=True),
        "takes a timestep per token",
    ),
    "default that it cannot use": (
        lambda c: edit(c / "defaults.json", true_cfg_scale=4.0),
        "family wan_i2v has no use for a default true_cfg_scale",
    ),
    "impossible default": (lambda c: edit(c / "defaults.json", width=40), "default width must be a multiple of 16"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_another_kind_of_model_is_refused_with_the_reason(i2v: Path, refusal: str) -> None:
    break_it, message = REFUSALS[refusal]
    break_it(i2v)
    with pytest.raises(CheckpointError, match=message):
        card_of(i2v, WAN_I2V)


def test_ti2v_is_not_without_its_timestep_per_token(ti2v: Path) -> None:
    edit(ti2v / "model_index.json", expand_timesteps=False)
    with pytest.raises(CheckpointError, match="takes a timestep per sample, so it is not of family wan_ti2v"):
        card_of(ti2v, WAN_TI2V)
    assert recognise_family(ti2v) is WAN_T2V


@pytest.mark.parametrize("layout", FAMILIES)
def test_an_exported_encoder_computes_what_diffusers_does(layout: str, tiny: Callable[[str], Exported]) -> None:
    exported = tiny(layout)
    (part,) = [part for part in FAMILIES[LayoutName(layout)].parts if part.component == "vae_encoder"]
    version = exported.repository / part.model / "1"
    sessions = {path.name: Session(path) for path in version.glob("*.onnx")}
    comparisons = list(part.compare(part.load(exported.checkpoint / "vae", Precision.FLOAT32), sessions))
    assert len(comparisons) >= 4
    assert max(comparison.max_difference for comparison in comparisons) < TOLERANCE / 5


@pytest.mark.parametrize("layout", FAMILIES)
def test_inputs_and_outputs_are_those_of_the_triton_configuration(layout: str, tiny: Callable[[str], Exported]) -> None:
    exported = tiny(layout)
    for part in FAMILIES[LayoutName(layout)].parts:
        model = exported.repository / part.model
        configuration = (model / "config.pbtxt").read_text()
        # the graphs of frames in bands hand features to each other inside the engine
        graphs = [path for path in (model / "1").glob("*.onnx") if not path.name.startswith((MIDDLE, BANDS))]
        assert graphs
        for path in graphs:
            session = onnxruntime.InferenceSession(path)
            for value in (*session.get_inputs(), *session.get_outputs()):
                is_internal = value.name.startswith("cache_") or ".lora_" in value.name
                line = f'name: "{value.name}" data_type: TYPE_'
                assert is_internal or line in configuration
                rank = configuration.partition(line)[2].partition("[")[2].partition("]")[0].count("-1")
                assert is_internal or rank == len(value.shape)
