"""The decoder of images is diffusers' decoder of videos on a video of one frame, at a third of the size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from export import qwen_vae
from runtime.banded_vae import BandedVae
from runtime.tensors import to_numpy
from tests.export.vae_engine import BuiltVae


@pytest.fixture(scope="module")
def vae(qwen_checkpoint: Path) -> Any:
    return qwen_vae.load(qwen_checkpoint / "vae")


@pytest.fixture(scope="module")
def built(vae: Any, tmp_path_factory: pytest.TempPathFactory) -> BuiltVae:
    return BuiltVae(qwen_vae.graphs(vae), qwen_vae.plan(vae), tmp_path_factory.mktemp("graphs"))


@pytest.fixture(scope="module")
def whole(built: BuiltVae) -> BandedVae:
    return built.engine()


def latents_of(batch: int, rows: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((batch, 16, 1, rows, width)).astype(np.float32)


def images(engine: BandedVae, latents: NDArray[np.float32]) -> NDArray[np.float32]:
    frames, _ = engine.run(latents, None, last=True)
    return to_numpy(frames)


@pytest.mark.parametrize(("batch", "rows", "width"), [(1, 2, 2), (2, 6, 4), (3, 5, 7)])
def test_it_equals_diffusers(vae: Any, whole: BandedVae, batch: int, rows: int, width: int) -> None:
    latents = latents_of(batch, rows, width)
    with torch.no_grad():
        theirs = vae.decode(torch.from_numpy(latents), return_dict=False)[0].numpy()
    np.testing.assert_allclose(images(whole, latents), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("batch", "rows", "width", "budget"), [(1, 15, 3, 1), (2, 20, 2, 1), (1, 40, 5, 2**20)])
def test_in_bands_it_equals_the_whole(
    built: BuiltVae, whole: BandedVae, batch: int, rows: int, width: int, budget: int
) -> None:
    latents = latents_of(batch, rows, width)
    assert len(built.plan.heights(rows, batch * width, budget, built.plan.chunks(1))) > 1
    np.testing.assert_allclose(images(built.engine(budget), latents), images(whole, latents), rtol=0, atol=1e-5)


def test_it_has_no_graphs_for_later_chunks_and_the_weights_of_the_current_frame_alone(vae: Any) -> None:
    graphs = {graph.file: graph.build() for graph in qwen_vae.graphs(vae)}
    assert sorted(graphs) == ["bands_first.onnx", "middle_first.onnx", "whole_first.onnx"]
    weights = [value.const_value for value in graphs["whole_first.onnx"].graph.initializers.values()]
    built = [weight.shape.numpy() for weight in weights if weight is not None]
    assert len(built) == len(weights)
    causal = [layer for layer in vae.decoder.modules() if isinstance(layer, nn.Conv3d)]
    assert causal
    assert not any(len(shape) == 5 for shape in built)
    assert sum(len(shape) == 4 for shape in built) >= len(causal)
