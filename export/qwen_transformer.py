"""QwenImageTransformer2DModel in the form that is exported.

The arithmetic is diffusers' own, with three differences in form. Rotary embedding is written in real numbers, its
tables come in as inputs, and text and image are turned together. The frequencies of the timestep embedding are a
constant, as in `export.wan_transformer`. And for CPUs padding is left out of the attention without a mask, with which
ONNX Runtime would hold tokens x tokens numbers: see `_padding_features`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.family import Comparison
from export.forwards import replaced_forwards
from export.graph import Graph, Session
from export.load import load_diffusers
from export.options import Form, Precision
from export.precision import DTYPES

_FILE = "model.onnx"
_MAX_PERIOD = 10_000
_TIMESTEP_CHANNELS = 256
_TIMESTEP_SCALE = 1000

_MASK_FEATURES = 8
"""appended to each head; attention kernels want head sizes that are multiples of 8"""
_PADDING_SCORE = -4096.0
"""attention score of padding: exp() of its distance to any real score is 0, and it fits float16"""

Size = tuple[int, int]


def load(folder: Path, precision: Precision = Precision.FLOAT32) -> nn.Module:
    from diffusers import QwenImageTransformer2DModel

    return load_diffusers(QwenImageTransformer2DModel, folder, precision)


def graphs(transformer: Any, form: Form = Form()) -> list[Graph]:  # noqa: B008 - frozen
    generator = torch.Generator().manual_seed(0)
    rows = _rows(transformer, generator, size=(4, 6), lengths=(20, 13))
    tables = _tables(transformer, size=(4, 6), tokens=20)
    return [
        Graph(
            file=_FILE,
            module=ExportableQwenImageTransformer(transformer, form),
            example=(*rows, *tables),
            dynamic_shapes={
                "hidden_states": {0: "batch", 1: "image_tokens"},
                "timestep": {0: "batch"},
                "encoder_hidden_states": {0: "batch", 1: "text_tokens"},
                "encoder_hidden_states_mask": {0: "batch", 1: "text_tokens"},
                "image_cos": {0: "image_tokens"},
                "image_sin": {0: "image_tokens"},
                "text_cos": {0: "text_tokens"},
                "text_sin": {0: "text_tokens"},
            },
            inputs=[
                "hidden_states",
                "timestep",
                "encoder_hidden_states",
                "encoder_hidden_states_mask",
                "image_cos",
                "image_sin",
                "text_cos",
                "text_sin",
            ],
            outputs=["sample"],
        )
    ]


def compare(transformer: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    """Prompts of several lengths padded to one, against diffusers on each without its padding."""
    generator = torch.Generator().manual_seed(1)
    for size, lengths in (((2, 2), (1,)), ((4, 6), (5, 64)), ((5, 3), (300, 1, 18)), ((16, 24), (7, 7))):
        rows = _rows(transformer, generator, size, lengths)
        tables = _tables(transformer, size, max(lengths))
        expected = torch.cat([_unpadded(transformer, rows, row, size) for row in range(len(lengths))])
        yield Comparison(
            f"images of {size[0]} x {size[1]} packed latents, texts of {', '.join(map(str, lengths))} tokens",
            partial(sessions[_FILE].run_one, *(tensor.numpy() for tensor in (*rows, *tables))),
            expected.numpy(),
        )


def _rows(
    transformer: Any, generator: torch.Generator, size: Size, lengths: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One row a prompt; what stands in its padding is noise, too."""
    config, batch = transformer.config, len(lengths)
    tokens = torch.arange(max(lengths))
    return (
        torch.randn(batch, size[0] * size[1], config.in_channels, generator=generator),
        torch.rand(batch, generator=generator),
        torch.randn(batch, len(tokens), config.joint_attention_dim, generator=generator),
        (tokens[None] < torch.tensor(lengths)[:, None]).float(),
    )


def _tables(transformer: Any, size: Size, tokens: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    image, text = transformer.pos_embed([[(1, *size)]], max_txt_seq_len=tokens, device=torch.device("cpu"))
    image_cos, image_sin, text_cos, text_sin = (
        part.contiguous() for rotation in (image, text) for part in (rotation.real, rotation.imag)
    )
    return image_cos, image_sin, text_cos, text_sin


def _unpadded(transformer: Any, rows: tuple[Tensor, Tensor, Tensor, Tensor], row: int, size: Size) -> Tensor:
    """diffusers' result for one row, whose prompt is cut to its length."""
    hidden_states, timestep, text, mask = (tensor[row : row + 1] for tensor in rows)
    with torch.no_grad():
        sample: Tensor = transformer(
            hidden_states=hidden_states.to(transformer.dtype),
            encoder_hidden_states=text[:, : int(mask.sum())].to(transformer.dtype),
            timestep=timestep,
            img_shapes=[[(1, *size)]],
            return_dict=False,
        )[0]
    return sample.float()


class ExportableQwenImageTransformer(nn.Module):
    """A QwenImageTransformer2DModel with tensors in and a tensor out, float32 whatever it computes in.

    Args:
        form: in whose precision the transformer was loaded.
    """

    frequencies: Tensor

    def __init__(self, transformer: Any, form: Form = Form()) -> None:  # noqa: B008 - frozen
        super().__init__()
        self.transformer = transformer
        self._dtype = DTYPES[form.precision]
        self._has_mask = form.is_for_gpu
        half = _TIMESTEP_CHANNELS // 2
        exponents = -math.log(_MAX_PERIOD) * torch.arange(half, dtype=torch.float32) / half
        self.register_buffer("frequencies", torch.exp(exponents), persistent=False)

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_hidden_states_mask: Tensor,
        image_cos: Tensor,
        image_sin: Tensor,
        text_cos: Tensor,
        text_sin: Tensor,
    ) -> Tensor:
        """Predict the flow velocity.

        Args:
            hidden_states: float32 [batch, image tokens, channels * 4], packed latents.
            timestep: float32 [batch], 0..1.
            encoder_hidden_states: float32 [batch, text tokens, text_dim].
            encoder_hidden_states_mask: float32 [batch, text tokens], 1 for a token and 0 for padding.
            image_cos, image_sin: float32 [image tokens, head_dim / 2], diffusers' `QwenEmbedRope`.
            text_cos, text_sin: float32 [text tokens, head_dim / 2].

        Returns:
            float32 [batch, image tokens, patch_size^2 * out_channels]
        """
        transformer = self.transformer
        # [tokens, head_dim / 2] -> [tokens, heads, head_dim / 2]
        cosines, sines = torch.cat([text_cos, image_cos])[:, None], torch.cat([text_sin, image_sin])[:, None]
        tokens = image_cos.shape[0]
        attend: Callable[..., Any] = (
            partial(_attend_masked, _key_mask(encoder_hidden_states_mask, tokens))
            if self._has_mask
            else partial(
                _attend_with_features, _padding_features(encoder_hidden_states_mask, tokens, transformer.config)
            )
        )
        forwards: dict[nn.Module, Callable[..., Any]] = {
            transformer.time_text_embed.time_proj: self._embed_timesteps,
            transformer.pos_embed: lambda *args, **options: (cosines, sines),
        }
        for block in transformer.transformer_blocks:
            forwards[block.attn] = partial(_attend, block.attn, attend)
        with replaced_forwards(forwards):
            sample: Tensor = transformer(
                hidden_states=hidden_states.to(self._dtype),
                encoder_hidden_states=encoder_hidden_states.to(self._dtype),
                timestep=timestep,
                return_dict=False,
            )[0]
        return sample.float()

    def _embed_timesteps(self, timesteps: Tensor) -> Tensor:
        """[n] -> [n, 256]: cosines, then sines."""
        angles = _TIMESTEP_SCALE * (timesteps[:, None].float() * self.frequencies[None])
        return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


def _padding_features(mask: Tensor, image_tokens: int, config: Any) -> Tensor:
    """What to append to the keys: a query's product with it, scaled, is `_PADDING_SCORE` for padding, else 0.

    Args:
        mask: float32 [batch, text tokens].

    Returns:
        float32 [batch, text tokens + image tokens, heads, _MASK_FEATURES]
    """
    feature = _PADDING_SCORE * config.attention_head_dim**0.5 / _MASK_FEATURES
    features = functional.pad((1 - mask) * feature, (0, image_tokens))
    return features[:, :, None, None].expand(-1, -1, config.num_attention_heads, _MASK_FEATURES)


def _key_mask(mask: Tensor, image_tokens: int) -> Tensor:
    """bool [batch, 1, 1, text tokens + image tokens]: which keys count. Fused kernels take it as it is, unexpanded."""
    return functional.pad(mask, (0, image_tokens), value=1.0)[:, None, None] > 0.5


def _attend_with_features(padding: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention over [batch, tokens, heads, size], padding left out by `_padding_features`."""
    query = functional.pad(query, (0, _MASK_FEATURES), value=1.0)
    key = torch.cat([key, padding], dim=-1)
    return functional.scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), scale=value.shape[-1] ** -0.5
    ).transpose(1, 2)


def _attend_masked(mask: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same, padding left out by a mask, as kernels that hold no tokens x tokens numbers can."""
    return functional.scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=mask
    ).transpose(1, 2)


def _attend(
    attention: Any,
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
    hidden_states: Tensor,
    encoder_hidden_states: Tensor,
    encoder_hidden_states_mask: None,
    image_rotary_emb: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """QwenDoubleStreamAttnProcessor2_0; [batch, tokens, channels] in and out, image and text."""
    text_tokens = encoder_hidden_states.shape[1]
    heads = (attention.heads, -1)
    query = _join(
        attention.norm_added_q(attention.add_q_proj(encoder_hidden_states).unflatten(2, heads)),
        attention.norm_q(attention.to_q(hidden_states).unflatten(2, heads)),
    )
    key = _join(
        attention.norm_added_k(attention.add_k_proj(encoder_hidden_states).unflatten(2, heads)),
        attention.norm_k(attention.to_k(hidden_states).unflatten(2, heads)),
    )
    value = _join(
        attention.add_v_proj(encoder_hidden_states).unflatten(2, heads),
        attention.to_v(hidden_states).unflatten(2, heads),
    )
    query, key = _rotate(query, *image_rotary_emb), _rotate(key, *image_rotary_emb)
    attended = attend(query, key, value).flatten(2, 3)
    return attention.to_out[0](attended[:, text_tokens:]), attention.to_add_out(attended[:, :text_tokens])


def _join(text: Tensor, image: Tensor) -> Tensor:
    return torch.cat([text, image], dim=1)


def _rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate each pair (x[2i], x[2i+1]) of the last dimension, in float32."""
    even, odd = torch.unflatten(x, -1, (-1, 2)).unbind(-1)
    return torch.stack([even * cosines - odd * sines, even * sines + odd * cosines], dim=-1).flatten(-2).to(x.dtype)
