"""WanTransformer3DModel in the form that is exported.

The arithmetic is diffusers' own. Two modules are written so that the exporter makes a better graph of them:
rotary embedding as a stack instead of a strided assignment, which would become ScatterND, and the frequencies
of the timestep embedding as a constant, because exp() folded elsewhere differs in its last bit and
sin(timestep * frequency) magnifies that. On CPUs the graph runs about a quarter faster.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional

from export.family import Comparison
from export.forwards import replaced_forwards
from export.graph import Graph, Session
from export.load import load_diffusers
from export.options import Form, Precision
from export.precision import DTYPES

_FILE = "model.onnx"
_MAX_PERIOD = 10_000


def load(folder: Path, precision: Precision = Precision.FLOAT32) -> nn.Module:
    from diffusers import WanTransformer3DModel

    return load_diffusers(WanTransformer3DModel, folder, precision)


def graphs(transformer: Any, form: Form = Form(), token_timesteps: bool = False) -> list[Graph]:  # noqa: B008 - frozen
    """The one graph.

    Args:
        token_timesteps: each token of the latents has its own timestep, and not each sample.
    """
    generator = torch.Generator().manual_seed(0)
    return [
        Graph(
            file=_FILE,
            module=ExportableWanTransformer(transformer, DTYPES[form.precision]),
            example=_inputs(transformer, token_timesteps, generator, batch=2, frames=3, size=(8, 12), tokens=7),
            dynamic_shapes={
                "hidden_states": {0: "batch", 2: "frames", 3: "height", 4: "width"},
                "timestep": {0: "batch", 1: Dim.AUTO} if token_timesteps else {0: "batch"},
                "encoder_hidden_states": {0: "batch", 1: "tokens"},
            },
            inputs=["hidden_states", "timestep", "encoder_hidden_states"],
            outputs=["sample"],
            sizes={"timestep": ["batch", "patches"]} if token_timesteps else {},
        )
    ]


def compare(transformer: Any, sessions: Mapping[str, Session], token_timesteps: bool = False) -> Iterator[Comparison]:
    generator = torch.Generator().manual_seed(1)
    for batch, frames, size, tokens in (
        (1, 1, (4, 4), 7),
        (2, 3, (8, 12), 64),
        (3, 5, (16, 10), 512),
        (1, 21, (6, 8), 33),
    ):
        inputs = _inputs(transformer, token_timesteps, generator, batch, frames, size, tokens)
        latents, timestep, text = inputs
        with torch.no_grad():
            sample_of_module = transformer(
                latents.to(transformer.dtype), timestep, text.to(transformer.dtype), return_dict=False
            )[0]
        height, width = size
        yield Comparison(
            f"{batch} x {frames} x {height} x {width} latents, {tokens} tokens",
            partial(sessions[_FILE].run_one, *(tensor.numpy() for tensor in inputs)),
            sample_of_module.float().numpy(),
        )


def _inputs(
    transformer: Any,
    token_timesteps: bool,
    generator: torch.Generator,
    batch: int,
    frames: int,
    size: tuple[int, int],
    tokens: int,
) -> tuple[Tensor, Tensor, Tensor]:
    config = transformer.config
    latents = torch.randn(batch, config.in_channels, frames, *size, generator=generator)
    patches = latents[0, 0].numel() // math.prod(config.patch_size)
    timesteps = (batch, patches) if token_timesteps else (batch,)
    return (
        latents,
        torch.rand(timesteps, generator=generator) * 1000,
        torch.randn(batch, tokens, config.text_dim, generator=generator),
    )


class ExportableWanTransformer(nn.Module):
    """A WanTransformer3DModel with tensors in and a tensor out, float32 whatever it computes in.

    Args:
        dtype: that the transformer was loaded in.
    """

    frequencies: Tensor

    def __init__(self, transformer: Any, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.transformer = transformer
        self._dtype = dtype
        half = transformer.config.freq_dim // 2
        exponents = -math.log(_MAX_PERIOD) * torch.arange(half, dtype=torch.float32) / half
        self.register_buffer("frequencies", torch.exp(exponents), persistent=False)

    def forward(self, hidden_states: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        """Predict the flow velocity.

        Args:
            hidden_states: float32 [batch, channels, frames, height, width], latents.
            timestep: float32 [batch], 0..1000, or [batch, patches] where each token of the latents has its own.
            encoder_hidden_states: float32 [batch, tokens, text_dim].

        Returns:
            float32 [batch, out_channels, frames, height, width]
        """
        forwards: dict[nn.Module, Callable[..., Any]] = {
            self.transformer.condition_embedder.timesteps_proj: self._embed_timesteps
        }
        for block in self.transformer.blocks:
            for attention in (block.attn1, block.attn2):
                forwards[attention] = partial(_attend, attention)
        with replaced_forwards(forwards):
            sample: Tensor = self.transformer(
                hidden_states.to(self._dtype), timestep, encoder_hidden_states.to(self._dtype), return_dict=False
            )[0]
        return sample.float()

    def _embed_timesteps(self, timesteps: Tensor) -> Tensor:
        """[n] -> [n, freq_dim]: cosines, then sines."""
        angles = timesteps[:, None].float() * self.frequencies[None]
        return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


def _attend(
    attention: Any,
    hidden_states: Tensor,
    encoder_hidden_states: Tensor | None = None,
    attention_mask: Tensor | None = None,
    rotary_emb: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """WanAttnProcessor for text-only conditioning; [batch, tokens, channels] in and out."""
    context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
    heads = (attention.heads, -1)
    query = attention.norm_q(attention.to_q(hidden_states)).unflatten(2, heads)
    key = attention.norm_k(attention.to_k(context)).unflatten(2, heads)
    value = attention.to_v(context).unflatten(2, heads)
    if rotary_emb is not None:
        query, key = _rotate(query, *rotary_emb), _rotate(key, *rotary_emb)
    attended = functional.scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=attention_mask
    )
    projected: Tensor = attention.to_out[0](attended.transpose(1, 2).flatten(2, 3))
    return projected


def _rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate each pair (x[2i], x[2i+1]) of the last dimension, in float32; the tables hold every angle twice."""
    even, odd = torch.unflatten(x, -1, (-1, 2)).unbind(-1)
    cos, sin = cosines[..., 0::2], sines[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2).to(x.dtype)
