"""The model card: the family's defaults, then the checkpoint's own files, then its defaults.json."""

import json
import shutil
from pathlib import Path

import pytest

from export.checkpoint import open_checkpoint, read_json
from export.defaults import read_defaults
from export.errors import CheckpointError
from export.wan_t2v import WAN_T2V
from protocol.model_card import ModelCard


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "tiny"))


def card_of(folder: Path) -> ModelCard:
    return WAN_T2V.card(open_checkpoint(folder, WAN_T2V.layout), read_defaults(folder))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(read_json(path) | changes))


def test_without_defaults_json_it_is_wan2_2_t2v_a14b_with_the_files_own_values(checkpoint: Path) -> None:
    (checkpoint / "defaults.json").unlink()
    card = card_of(checkpoint)

    assert (card.id, card.family) == ("wan2.2-t2v-a14b", "wan_t2v")
    own = card.defaults
    assert (own.width, own.height, own.num_frames, own.fps, own.num_inference_steps) == (832, 480, 81, 16, 40)
    assert (own.guidance_scale, own.guidance_scale_2, own.negative_prompt) == (4.0, 3.0, "")
    assert own.flow_shift == 3.0  # scheduler_config.json; the family's is 12
    assert own.boundary_ratio == 0.875
    assert own.solver == "unipc"
    assert card.limits.size_multiple == 16
    assert card.limits.max_frames == 161
    assert card.limits.max_pixel_frames == 1280 * 720 * 81
    assert (card.max_sequence_length, card.num_train_timesteps) == (512, 1000)


def test_the_family_s_shift_and_boundary_serve_where_the_files_give_none(checkpoint: Path) -> None:
    edit(checkpoint / "scheduler" / "scheduler_config.json", flow_shift=None)
    edit(checkpoint / "model_index.json", boundary_ratio=None)
    defaults = card_of(checkpoint).defaults
    assert (defaults.flow_shift, defaults.boundary_ratio) == (12.0, 0.875)


def test_defaults_json_wins_over_the_files(checkpoint: Path) -> None:
    own = {"id": "mine", "width": 128, "fps": 24, "flow_shift": 7.0, "negative_prompt": "blurry", "max_frames": 33}
    (checkpoint / "defaults.json").write_text(json.dumps({**own, "num_frames": 9, "max_sequence_length": 32}))
    card = card_of(checkpoint)
    assert (card.id, card.limits.max_frames, card.max_sequence_length) == ("mine", 33, 32)
    defaults = card.defaults
    assert (defaults.width, defaults.fps, defaults.flow_shift) == (128, 24, 7.0)
    assert defaults.negative_prompt == "blurry"
    assert defaults.height == 480


def test_one_expert_has_neither_a_second_guidance_nor_a_boundary(checkpoint: Path) -> None:
    edit(checkpoint / "model_index.json", transformer_2=[None, None])
    card = card_of(checkpoint)
    assert card.components.transformer_2 is None
    assert (card.defaults.guidance_scale_2, card.defaults.boundary_ratio) == (None, None)


def test_videos_end_where_the_rotary_tables_do(checkpoint: Path) -> None:
    edit(checkpoint / "transformer" / "config.json", rope_max_seq_len=8)
    limits = card_of(checkpoint).limits
    assert (limits.max_frames, limits.max_side) == (7 * 4 + 1, 8 * 16)


def test_a_flow_match_euler_scheduler_makes_euler_the_solver(checkpoint: Path) -> None:
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 4.0, "num_train_timesteps": 500}
    (checkpoint / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    card = card_of(checkpoint)
    assert (card.defaults.solver, card.defaults.flow_shift, card.num_train_timesteps) == ("euler", 4.0, 500)


def test_a_scheduler_that_does_not_lead_to_an_image_is_refused(checkpoint: Path) -> None:
    edit(checkpoint / "scheduler" / "scheduler_config.json", solver_type="bh1")
    with pytest.raises(CheckpointError, match=r"scheduler_config\.json describes do not lead from noise to data"):
        card_of(checkpoint)


def test_latents_are_scaled_as_the_vae_s_configuration_says(checkpoint: Path) -> None:
    config = read_json(checkpoint / "vae" / "config.json")
    latents = card_of(checkpoint).latents
    assert (latents.channels, latents.temporal_stride, latents.spatial_stride) == (16, 4, 8)
    assert list(latents.mean) == config["latents_mean"]
    assert list(latents.std) == config["latents_std"]


def test_a_vae_that_does_not_name_its_strides_has_wan2_1_s(checkpoint: Path) -> None:
    path = checkpoint / "vae" / "config.json"
    config = read_json(path)
    path.write_text(json.dumps({key: value for key, value in config.items() if not key.startswith("scale_factor")}))
    latents = card_of(checkpoint).latents
    assert (latents.spatial_stride, latents.temporal_stride) == (8, 4)
