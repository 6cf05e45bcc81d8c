"""The shapes of a checkpoint, from its configurations and the headers of its weight files; nothing is loaded."""

import math
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from export.checkpoint import Checkpoint, open_checkpoint
from export.defaults import OwnDefaults, read_defaults
from export.errors import CheckpointError
from export.families import recognise_family
from export.family import Family, Part
from export.options import Precision
from export.plan.activations import peak_bytes
from export.plan.meta import cast, check_weights, count, islands, meta_module
from export.plan.shapes import (
    Activations,
    Geometry,
    Shapes,
    Size,
    TextEncoder,
    Transformer,
    Vae,
    Weights,
    bytes_per_value,
)

_Grid = tuple[int, int, int]
_GRIDS: tuple[_Grid, _Grid] = ((1, 64, 64), (8, 64, 64))
"""patches along frames, height and width: two sizes that a line goes through, where tokens are all that counts"""
_TEMPLATE_TOKENS = {"Qwen2_5_VLForConditionalGeneration": 34}
"""of the prompt template, which the transformer does not see"""
_WAN = "WanTransformer3DModel"
_TRACED_LAYERS = 2
"""all are alike"""


def read_shapes(folder: Path) -> Shapes:
    """What the checkpoint consists of. Weights may be absent; where they are there they are compared with config.json.

    Raises:
        CheckpointError: it is no checkpoint of a known family, or its parts do not fit each other.
    """
    family = recognise_family(folder)
    checkpoint = open_checkpoint(folder, family.layout, configurations_only=True)
    own = read_defaults(folder)
    try:
        family.check(checkpoint)
        return _Reader(family, checkpoint, own).shapes()
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{folder}: its configurations are incomplete or damaged: {error!r}") from error


class _Reader:
    def __init__(self, family: Family, checkpoint: Checkpoint, own: OwnDefaults) -> None:
        self._family = family
        self._checkpoint = checkpoint
        self._own = own
        self._module = cache(self._checked_module)
        self._text_tokens: int = own.max_sequence_length or family.published.max_sequence_length

    def shapes(self) -> Shapes:
        parts = {part.component: part for part in self._family.parts if part.source in self._checkpoint.models}
        decoder = self._vae(parts["vae"])
        encoder = parts.get("vae_encoder")
        return Shapes(
            id=self._own.id or self._family.published.model_id,
            family=self._family.name,
            text_encoder=self._text_encoder(parts["text_encoder"]),
            transformers=tuple(self._transformer(part) for part in parts.values() if part.takes_adapters),
            decoder=decoder,
            encoder=None if encoder is None else self._vae(encoder),
            geometry=self._geometry(decoder),
        )

    def _text_encoder(self, part: Part) -> TextEncoder:
        module = _exported(self._module(part.class_name, part.source))
        weights = _weights(module)
        _cut(module)
        length = self._text_tokens + _TEMPLATE_TOKENS.get(part.class_name, 0)
        run = partial(module, input_ids=torch.zeros(1, length, dtype=torch.int64, device="meta"))
        return TextEncoder(part.model, part.class_name, weights, _by_precision(module, lambda _: run))

    def _transformer(self, part: Part) -> Transformer:
        module = self._checked_module(part.class_name, part.source)
        weights = _weights(module)
        _cut(module)
        step = self._wan_step if part.class_name == _WAN else self._qwen_step
        peaks = [
            _by_precision(module, lambda dtype, grid=grid: partial(step, module, grid, dtype))  # type: ignore[misc]
            for grid in _GRIDS
        ]
        first, second = map(math.prod, _GRIDS)
        activations = {}
        for precision in Precision:
            low, high = (peak[precision] for peak in peaks)
            per_token = -(-(high - low) // (second - first))
            kept = self._context_bytes(part, weights.layers, precision)
            activations[precision] = Activations(max(low - per_token * first, 0) + kept, per_token)
        return Transformer(part.model, weights, activations)

    def _context_bytes(self, part: Part, layers: int, precision: Precision) -> int:
        """TensorRT makes keys and values of a prompt for all layers at once, and keeps them through the forward."""
        if part.class_name != _WAN:
            return 0
        config = self._checkpoint.config(part.source)
        width = config["num_attention_heads"] * config["attention_head_dim"]
        return 2 * layers * self._text_tokens * int(width) * bytes_per_value(precision)

    def _wan_step(self, module: Any, grid: _Grid, dtype: torch.dtype) -> object:
        config = module.config
        sides = (side * patch for side, patch in zip(grid, config.patch_size, strict=True))
        latents = torch.empty(1, config.in_channels, *sides, dtype=dtype)
        timesteps = torch.empty((1, math.prod(grid)) if self._family.token_timesteps else (1,))
        text = torch.empty(1, self._text_tokens, config.text_dim, dtype=dtype)
        return module(latents, timesteps, text, return_dict=False)

    def _qwen_step(self, module: Any, grid: _Grid, dtype: torch.dtype) -> object:
        return module(
            hidden_states=torch.empty(1, math.prod(grid), module.config.in_channels, dtype=dtype),
            encoder_hidden_states=torch.empty(1, self._text_tokens, module.config.joint_attention_dim, dtype=dtype),
            timestep=torch.empty(1, dtype=dtype),
            img_shapes=[[grid]],
            return_dict=False,
        )

    def _vae(self, part: Part) -> Vae:
        module: Any = self._module(part.class_name, part.source)
        half = module.encoder if part.component == "vae_encoder" else module.decoder
        assert part.bands is not None
        with np.errstate(all="ignore"):  # the plan follows from sizes alone, and the values are what memory holds
            plan = part.bands(module.to_empty(device="cpu") if module.device.type == "meta" else module)
        # TI2V's image is the first frame by itself; I2V's begins a video
        one_frame = self._family.token_timesteps if part.component == "vae_encoder" else plan.next is None
        return Vae(part.model, plan, count(half), one_frame)

    def _geometry(self, decoder: Vae) -> Geometry:
        published, own = self._family.published, self._own
        config = self._checkpoint.config("transformer")
        patch = config.get("patch_size", 2)
        width, height, frames = (
            getattr(own, name) or published.defaults.get(name, 1) for name in ("width", "height", "num_frames")
        )
        default, limit = Size(width, height, frames), own.max_pixel_frames or published.max_pixel_frames
        largest = Size(*published.largest, frames)
        return Geometry(
            channels=self._checkpoint.config("vae").get("z_dim", 16),
            spatial_stride=decoder.bands.spatial_stride,
            temporal_stride=decoder.bands.temporal_stride,
            patch=patch if isinstance(patch, int) else patch[-1],
            makes_images="num_frames" not in published.defaults,
            max_pixel_frames=limit,
            default=default,
            largest=default if own.width or largest.width * largest.height * frames > limit else largest,
        )

    def _checked_module(self, class_name: str, source: str) -> nn.Module:
        folder = self._checkpoint.folder / source
        module = meta_module(class_name, folder)
        check_weights(module, folder)
        return module


def _exported(module: Any) -> nn.Module:
    """What of a text encoder is exported: Qwen2.5-VL's language model, without its head and its vision tower."""
    language_model: nn.Module | None = getattr(getattr(module, "model", None), "language_model", None)
    return module if language_model is None else language_model


def _weights(module: nn.Module) -> Weights:
    layers = _layers(module)
    kept = islands(module)
    return Weights(
        parameters=count(module),
        islands=sum(parameter.numel() for name, parameter in module.named_parameters() if name in kept),
        largest_layer=max(count(layer) for layer in layers),
        layers=len(layers),
    )


def _layers(module: nn.Module) -> nn.ModuleList:
    """The longest list of layers, which is what the module mostly consists of."""
    return max((part for part in module.modules() if isinstance(part, nn.ModuleList)), key=count)


def _cut(module: nn.Module) -> None:
    """Leave the first layers."""
    layers = _layers(module)
    for number in reversed(range(_TRACED_LAYERS, len(layers))):
        del layers[number]


def _by_precision(module: nn.Module, run: Callable[[torch.dtype], Callable[[], object]]) -> dict[Precision, int]:
    """Peak bytes. Both half precisions take as much."""
    peaks = {}
    for precision, dtype in ((Precision.FLOAT32, torch.float32), (Precision.BFLOAT16, torch.bfloat16)):
        cast(module, precision)
        peaks[precision] = peak_bytes(module, run(dtype))
    return {**peaks, Precision.FLOAT16: peaks[Precision.BFLOAT16]}
