"""The decoder's graphs are diffusers' decode: one chunk at a time, whole and in bands."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export import wan_vae
from export.tiny import LayoutName, build
from export.vae_comparison import stream
from runtime.banded_vae import BandedVae
from tests.export.vae_engine import BuiltVae

CHANNELS = {LayoutName.TWO_EXPERTS: 16, LayoutName.TI2V: 48}
"""layout -> latent channels; TI2V's VAE has average shortcuts and 2x2 pixel patches"""
FLOAT_NOISE = 1e-5


@pytest.fixture(scope="module", params=list(CHANNELS))
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
    return BuiltVae(wan_vae.decoder_graphs(vae), wan_vae.decoder_plan(vae), tmp_path_factory.mktemp("graphs"))


@pytest.fixture(scope="module")
def whole(built: BuiltVae) -> BandedVae:
    return built.engine()


def latents_of(layout: LayoutName, batch: int, frames: int, rows: int, width: int) -> NDArray[np.float32]:
    shape = (batch, CHANNELS[layout], frames, rows, width)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def decode(vae: Any, latents: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        frames: NDArray[np.float32] = vae.decode(torch.from_numpy(latents), return_dict=False)[0].numpy()
    return frames


@pytest.mark.parametrize(("batch", "chunk"), [(1, 1), (2, 1), (1, 2), (2, 6)])
def test_in_chunks_of_any_length_it_equals_diffusers(
    vae: Any, whole: BandedVae, layout: LayoutName, batch: int, chunk: int
) -> None:
    latents = latents_of(layout, batch, frames=4, rows=3, width=4)
    np.testing.assert_allclose(stream(whole, latents, chunk), decode(vae, latents), rtol=0, atol=5e-5)


@pytest.mark.parametrize(("rows", "width", "mib"), [(15, 3, 0), (20, 2, 0), (33, 3, 1), (40, 5, 3), (29, 3, 2)])
@pytest.mark.parametrize("chunk", [1, 2])
def test_in_bands_of_any_height_it_equals_the_whole(
    built: BuiltVae, whole: BandedVae, layout: LayoutName, rows: int, width: int, mib: int, chunk: int
) -> None:
    latents = latents_of(layout, 1, frames=4, rows=rows, width=width)
    budget = max(mib * 2**20, 1)
    assert len(built.plan.heights(rows, width, budget, built.plan.chunks(4))) > 1
    difference = stream(built.engine(budget), latents, chunk) - stream(whole, latents, chunk)
    assert np.abs(difference).max() <= FLOAT_NOISE


def test_several_videos_go_through_the_bands_together(built: BuiltVae, layout: LayoutName, vae: Any) -> None:
    latents = latents_of(layout, 2, frames=2, rows=16, width=2)
    np.testing.assert_allclose(stream(built.engine(1), latents, 1), decode(vae, latents), rtol=0, atol=5e-5)


def test_a_single_frame_is_an_image(whole: BandedVae, layout: LayoutName) -> None:
    frames, state = whole.run(latents_of(layout, 1, 1, 4, 4), None, last=True)
    side = 64 if layout is LayoutName.TI2V else 32
    assert frames.shape() == [1, 3, 1, side, side]
    assert state is None


def test_a_band_ends_thirteen_latent_rows_above_what_it_is_given(built: BuiltVae) -> None:
    """Six convolutions at the latents' size, one that upsamples and six at each size above, and the last."""
    assert built.plan.lead == math.ceil(6 + (1 + 6) / 2 + (1 + 6) / 4 + (1 + 6 + 1) / 8) == 13


def test_the_checkpoint_s_weights_are_left_alone(vae: Any, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    BuiltVae(wan_vae.decoder_graphs(vae), wan_vae.decoder_plan(vae), tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
