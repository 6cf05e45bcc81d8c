"""Packing, rotary tables and the schedule of Qwen-Image equal those of diffusers' pipeline."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline
from diffusers.models.transformers.transformer_qwenimage import QwenEmbedRope
from numpy.typing import NDArray

from pipelines.qwen_image import pack, unpack
from pipelines.qwen_rope import RopeTables
from pipelines.runner import Inputs
from pipelines.schedulers import make_dynamic_scheduler
from protocol.model_card import RotaryEmbedding

# Qwen-Image's own scheduler_config.json
SCHEDULER = {
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 8192,
    "max_shift": 0.9,
    "num_train_timesteps": 1000,
    "shift_terminal": 0.02,
    "time_shift_type": "exponential",
    "use_dynamic_shifting": True,
}


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 6, 8), (2, 6, 4)])
def test_packing_is_diffusers_and_can_be_undone(batch: int, height: int, width: int) -> None:
    latents = torch.randn(batch, 16, 1, height, width)
    packed = pack(latents)
    assert torch.equal(packed, QwenImagePipeline._pack_latents(latents.transpose(1, 2), batch, 16, height, width))
    assert torch.equal(unpack(packed, height, width), latents)


@pytest.mark.parametrize(("height", "width"), [(3, 4), (4, 3), (5, 5), (1, 9)])
def test_rope_tables_are_diffusers_angles(height: int, width: int) -> None:
    tables = RopeTables(RotaryEmbedding(theta=10000, axes_dims=(8, 12, 12))).of(height, width, 7).inputs
    image, text = QwenEmbedRope(10000, [8, 12, 12], scale_rope=True)([[(1, height, width)]], max_txt_seq_len=7)
    np.testing.assert_array_equal(rotations(tables, "image"), image.numpy())
    np.testing.assert_array_equal(rotations(tables, "text"), text.numpy())


def rotations(tables: Inputs, name: str) -> NDArray[np.complex64]:
    cosines, sines = tables[f"{name}_cos"], tables[f"{name}_sin"]
    assert isinstance(cosines, torch.Tensor)
    assert isinstance(sines, torch.Tensor)
    return (cosines + 1j * sines).numpy()


def test_images_of_as_many_tokens_but_another_shape_share_nothing() -> None:
    rope = RopeTables(RotaryEmbedding(theta=10000, axes_dims=(8, 12, 12)))
    assert rope.of(3, 4, 7).key != rope.of(4, 3, 7).key
    assert rope.of(3, 4, 7) is rope.of(3, 4, 7)


def test_few_rope_tables_are_kept() -> None:
    rope = RopeTables(RotaryEmbedding(theta=10000, axes_dims=(8, 12, 12)))
    for width in range(1, 40):
        rope.of(2, width, 7)
    assert len(rope._kept) <= 16


def test_the_schedule_shifts_with_the_size_and_ends_at_its_terminal() -> None:
    small, large = (make_dynamic_scheduler(SCHEDULER, tokens, 20).sigmas for tokens in (256, 4096))
    assert small[0] == large[0] == 1
    assert torch.isclose(small[-2], torch.tensor(0.02))
    assert (large[1:-2] > small[1:-2]).all()


def test_a_single_step_goes_all_the_way() -> None:
    scheduler = make_dynamic_scheduler(SCHEDULER, 256, 1)
    assert scheduler.sigmas.tolist() == [1, 0]
    stretched = FlowMatchEulerDiscreteScheduler.from_config(SCHEDULER)
    stretched.set_timesteps(sigmas=[1.0], mu=0.5)
    assert stretched.sigmas.isnan().any(), "diffusers can do it now: no need for a case of our own"
