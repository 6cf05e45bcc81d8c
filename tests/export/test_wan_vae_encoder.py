"""The encoder's graphs are diffusers' encode: one chunk at a time, whole and in bands; the mode of the posterior."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export import wan_vae, wan_vae_encoder
from export.errors import CheckpointError
from export.tiny import LayoutName, build
from export.vae_comparison import stream
from runtime.banded_vae import BandedVae
from runtime.tensors import to_numpy
from tests.export.vae_engine import BuiltVae

SIZES = {LayoutName.I2V: (16, 8), LayoutName.TI2V: (48, 16)}
"""layout -> latent channels, and pixels a latent"""
FLOAT_NOISE = 1e-5


@pytest.fixture(scope="module", params=list(SIZES))
def layout(request: pytest.FixtureRequest) -> LayoutName:
    name: LayoutName = request.param
    return name


@pytest.fixture(scope="module")
def vae(layout: LayoutName, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("checkpoints") / layout
    build(folder, layout)
    return wan_vae.load(folder / "vae")


@pytest.fixture(scope="module")
def built(vae: Any, tmp_path_factory: pytest.TempPathFactory) -> BuiltVae:
    folder = tmp_path_factory.mktemp("graphs")
    return BuiltVae(wan_vae_encoder.encoder_graphs(vae), wan_vae_encoder.encoder_plan(vae), folder)


@pytest.fixture(scope="module")
def whole(built: BuiltVae) -> BandedVae:
    return built.engine()


def video_of(layout: LayoutName, batch: int, frames: int, rows: int, width: int) -> NDArray[np.float32]:
    """Random pixels, -1..1, of so many latents a side."""
    _, stride = SIZES[layout]
    return np.random.default_rng(0).uniform(-1, 1, (batch, 3, frames, rows * stride, width * stride)).astype(np.float32)


def encode(vae: Any, video: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        latents: NDArray[np.float32] = vae.encode(torch.from_numpy(video)).latent_dist.mode().numpy()
    return latents


@pytest.mark.parametrize(("batch", "chunk"), [(1, 4), (2, 4), (1, 8), (2, 16)])
def test_in_chunks_of_any_multiple_of_the_temporal_stride_it_equals_diffusers(
    vae: Any, whole: BandedVae, layout: LayoutName, batch: int, chunk: int
) -> None:
    video = video_of(layout, batch, frames=13, rows=3, width=4)
    np.testing.assert_allclose(stream(whole, video, chunk), encode(vae, video), rtol=0, atol=FLOAT_NOISE)


@pytest.mark.parametrize(("rows", "width", "mib"), [(11, 3, 0), (16, 2, 0), (25, 3, 2), (30, 5, 4)])
@pytest.mark.parametrize("chunk", [4, 8])
def test_in_bands_of_any_height_it_equals_the_whole(
    built: BuiltVae, whole: BandedVae, layout: LayoutName, rows: int, width: int, mib: int, chunk: int
) -> None:
    video = video_of(layout, 1, frames=9, rows=rows, width=width)
    budget = max(mib * 2**20, 1)
    assert len(built.plan.heights(rows, width, budget, built.plan.chunks(3))) > 1
    difference = stream(built.engine(budget), video, chunk) - stream(whole, video, chunk)
    assert np.abs(difference).max() <= FLOAT_NOISE


def test_several_videos_go_through_the_bands_together(built: BuiltVae, layout: LayoutName, vae: Any) -> None:
    video = video_of(layout, 2, frames=5, rows=12, width=2)
    np.testing.assert_allclose(stream(built.engine(1), video, 4), encode(vae, video), rtol=0, atol=FLOAT_NOISE)


def test_a_single_frame_is_an_image(vae: Any, whole: BandedVae, layout: LayoutName) -> None:
    video = video_of(layout, 1, frames=1, rows=8, width=12)
    latents, state = whole.run(video, None, last=True)
    assert latents.shape() == [1, SIZES[layout][0], 1, 8, 12]
    assert state is None
    np.testing.assert_allclose(to_numpy(latents), encode(vae, video), rtol=0, atol=FLOAT_NOISE)


def test_a_band_ends_nine_latent_rows_above_what_it_is_given(built: BuiltVae) -> None:
    assert built.plan.lead == 9


def test_attention_between_the_blocks_is_refused(vae: Any) -> None:
    other = copy.deepcopy(vae)
    attention = other.encoder.mid_block.attentions[0]
    other.encoder.down_blocks.append(attention)
    with pytest.raises(CheckpointError, match="has a WanAttentionBlock where no known model has one"):
        wan_vae_encoder.encoder_plan(other)
