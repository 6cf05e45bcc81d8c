"""What computing takes is counted without computing, and is what ONNX Runtime has alive at once."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.options import Precision
from export.plan.activations import peak_bytes
from export.plan.checkpoint_shapes import read_shapes
from export.plan.meta import cast, meta_module
from export.plan.shapes import Shapes
from runtime.gpu import MARGIN
from tests.conftest import Exported

from .live_tensors import live_bytes


class Block(nn.Module):
    """1000 -> 4000 -> 1000, beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(1000, 4000), nn.Linear(4000, 1000)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(functional.gelu(self.up(x)))
        return x + y


def test_what_lives_at_once_is_counted() -> None:
    with torch.device("meta"):
        block, x = Block(), torch.empty(10, 1000)
    # the hidden layer before and after its activation; the input was there before, and weights do not count
    assert peak_bytes(block, lambda: block(x)) == 4 * 10 * (4000 + 4000)


def test_attention_is_one_operator() -> None:
    with torch.device("meta"):
        query, value = torch.empty(1, 2, 5000, 64), torch.empty(1, 2, 5000, 64)
    for attend in (
        lambda: functional.scaled_dot_product_attention(query, query, value),
        lambda: functional.scaled_dot_product_attention(query=query, key=query, value=value),
    ):
        assert peak_bytes(nn.Identity(), attend) == value.nbytes


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
def test_a_step_of_the_real_model_is_linear_in_tokens_and_rows(
    shapes: Callable[[str], Shapes], configurations: Callable[[str], Path], precision: Precision
) -> None:
    """The line through two sizes, of two layers, against all forty at 720p with both branches of guidance."""
    transformer = meta_module("WanTransformer3DModel", configurations("Wan2.2-T2V-A14B") / "transformer")
    cast(transformer, precision)
    dtype = torch.float32 if precision is Precision.FLOAT32 else torch.bfloat16
    with torch.device("meta"):
        latents, text = torch.empty(2, 16, 21, 90, 160, dtype=dtype), torch.empty(2, 512, 4096, dtype=dtype)
        timesteps = torch.empty(2)
    counted = peak_bytes(transformer, lambda: transformer(latents, timesteps, text, return_dict=False))
    activations = shapes("Wan2.2-T2V-A14B").transformers[0].activations[precision]
    kept = 2 * 40 * 512 * 5120 * latents.itemsize  # keys and values of the text, which TensorRT keeps
    assert activations.bytes(2, 75_600) - 2 * kept == pytest.approx(counted, rel=0.01)


def test_half_precision_takes_half_but_for_islands(shapes: Callable[[str], Shapes]) -> None:
    for name in ("Wan2.2-T2V-A14B", "Wan2.2-TI2V-5B", "Qwen-Image"):
        activations = shapes(name).transformers[0].activations
        full, half = (activations[each].per_token for each in (Precision.FLOAT32, Precision.BFLOAT16))
        assert 0.5 * full <= half < 0.75 * full


def test_a_timestep_per_token_costs(shapes: Callable[[str], Shapes]) -> None:
    """TI2V's tokens each have six modulations in float32: more per token than a model of nearly twice the width."""
    ti2v, t2v = (
        shapes(name).transformers[0].activations[Precision.BFLOAT16] for name in ("Wan2.2-TI2V-5B", "Wan2.2-T2V-A14B")
    )
    assert ti2v.per_token > t2v.per_token + 4 * 6 * 3072


@pytest.mark.parametrize(("rows", "frames"), [(1, 5), (2, 3)])
def test_onnx_runtime_needs_what_is_counted(toy: Exported, tmp_path: Path, rows: int, frames: int) -> None:
    shapes = read_shapes(toy.checkpoint)
    latents, text = [rows, 16, frames, 48, 60], [rows, 512, 64]
    inputs = {"hidden_states": latents, "timestep": [rows], "encoder_hidden_states": text}
    alive = live_bytes(toy.repository / "wan_t2v_transformer" / "1" / "model.onnx", inputs, tmp_path)
    counted = shapes.transformers[0].activations[Precision.FLOAT32].bytes(rows, frames * 24 * 30)
    assert 0.8 * counted < alive < (1 + MARGIN) * counted
