"""The colours of a VAE's latents, on images and videos that the fit has not seen."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export import qwen_vae, wan_vae
from export.latent_colours import cells, drawn_images
from export.tiny import LayoutName, build
from runtime.latent_colours import LatentColours
from tests.conftest import ROOT
from toy.world.draw import draw
from toy.world.scene import sample_scene

MODULES: dict[str, Any] = {"toy-wan-t2v": wan_vae, "toy-wan-ti2v": wan_vae, "toy-qwen-image": qwen_vae}
STRIDES = {"toy-wan-t2v": 8, "toy-wan-ti2v": 16, "toy-qwen-image": 8}
"""toy-wan-i2v has the VAE of toy-wan-t2v"""


@cache
def fitted(name: str) -> tuple[Any, LatentColours]:
    vae = MODULES[name].load(ROOT / "toy" / "checkpoints" / name / "vae")
    return vae, MODULES[name].colours(vae)


def determination(vae: Any, colours: LatentColours, videos: Iterable[NDArray[np.float32]]) -> float:
    """R²: the share of the colours' variance that the fit explains."""
    latents, expected = (np.concatenate(values) for values in zip(*(cells(vae, one) for one in videos), strict=True))
    found = colours.of(latents.T[:, None])[0].clip(0, 1)
    return float(1 - ((found - expected) ** 2).sum() / ((expected - expected.mean(axis=0)) ** 2).sum())


@pytest.mark.parametrize("name", MODULES)
def test_drawn_images_that_were_not_fitted_have_their_colours(name: str) -> None:
    vae, colours = fitted(name)
    images = drawn_images(7, 8, 6 * STRIDES[name])
    assert determination(vae, colours, (image[np.newaxis] for image in images)) > 0.9


@pytest.mark.parametrize("name", MODULES)
def test_videos_of_the_toy_world_have_their_colours(name: str) -> None:
    vae, colours = fitted(name)
    frames, rng = 1 if name == "toy-qwen-image" else 5, np.random.default_rng(99)
    videos = [draw(sample_scene(rng), 64, 64, frames) for _ in range(6)]
    assert determination(vae, colours, videos) > 0.9


@pytest.mark.parametrize(
    ("layout", "module"),
    [(LayoutName.TWO_EXPERTS, wan_vae), (LayoutName.TI2V, wan_vae), (LayoutName.QWEN_IMAGE, qwen_vae)],
)
def test_even_latents_of_random_weights_say_something_of_colours(
    layout: LayoutName, module: Any, tmp_path: Path
) -> None:
    """A map that looks at none of them would have 0."""
    build(tmp_path / "checkpoint", layout)
    vae = module.load(tmp_path / "checkpoint" / "vae")
    colours: LatentColours = module.colours(vae)
    stride = 16 if layout is LayoutName.TI2V else 8
    images = drawn_images(7, 8, 6 * stride)
    assert determination(vae, colours, (image[np.newaxis] for image in images)) > 0.05
    assert module.colours(vae) == colours


def test_they_are_kept_in_a_file(tmp_path: Path) -> None:
    colours = LatentColours(weights=((0.1, 0.2, 0.3), (-0.5, 0.25, 1.0)), bias=(0.5, 0.25, 0.0))
    with pytest.raises(FileNotFoundError, match="export the checkpoint again"):
        LatentColours.read(tmp_path)
    colours.write(tmp_path)
    assert LatentColours.read(tmp_path) == colours
    (tmp_path / "colours.json").write_text('{"weights": [], "bias": [NaN, 0, 0]}')
    with pytest.raises(FileNotFoundError, match="of this release"):
        LatentColours.read(tmp_path)


def test_a_cell_has_the_weighted_sum_of_its_channels() -> None:
    colours = LatentColours(weights=((0.1, 0.2, 0.3), (-0.5, 0.25, 1.0)), bias=(0.5, 0.25, 0.0))
    latents = np.array([[[1.0, 0.0]], [[2.0, 0.0]]], np.float32)
    np.testing.assert_allclose(colours.of(latents), [[[-0.4, 0.95, 2.3], [0.5, 0.25, 0.0]]], rtol=1e-6)
