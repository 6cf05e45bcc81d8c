"""The models that a job moves through, and what they need, in one precision: text encoder, VAE encoder (for an image),
transformers, VAE decoder."""

from collections.abc import Iterator
from dataclasses import dataclass

from export.options import Precision
from export.plan.gpus import Gpu
from export.plan.shapes import Shapes, Size, Vae

_STREAMED_AHEAD = 2
"""layers on the GPU at a time: one that computes, one that arrives"""
_GUIDANCE_BRANCHES = 2


@dataclass(frozen=True)
class Call:
    """One way in which a stage can compute. Bytes."""

    how: str
    working: int
    """activations, and a VAE's caches"""
    calls_per_step: int = 0
    """of denoising, for a transformer"""


@dataclass(frozen=True)
class Stage:
    """A model and its largest calls, the fastest first. Bytes."""

    name: str
    model: str
    precision: Precision
    parameters: int
    weights: int
    streamable: int
    """of the weights, those of layers"""
    ahead: int
    """of the layers that must be on the GPU at a time"""
    caches: int
    """that a VAE keeps from chunk to chunk; they are part of its calls"""
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Precisions:
    """What each kind of model computes in."""

    text_encoder: Precision
    transformer: Precision
    vae: Precision

    @classmethod
    def of(cls, shapes: Shapes, gpu: Gpu, precision: Precision, vae: Precision) -> "Precisions":
        """As asked for, but for UMT5, whose values do not fit float16."""
        text = precision
        if precision is Precision.FLOAT16 and shapes.text_encoder.class_name == "UMT5EncoderModel":
            text = Precision.BFLOAT16 if gpu.has_bfloat16 else Precision.FLOAT32
        return cls(text, precision, vae)


def stages(shapes: Shapes, precisions: Precisions, size: Size) -> Iterator[Stage]:
    """In the order in which a job moves through them."""
    yield _text_stage(shapes, precisions.text_encoder)
    if shapes.encoder:
        yield _vae_stage("VAE encoder", shapes.encoder, shapes, precisions.vae, size)
    yield from _transformer_stages(shapes, precisions.transformer, shapes.geometry.tokens(size))
    yield _vae_stage("VAE decoder", shapes.decoder, shapes, precisions.vae, size)


def _text_stage(shapes: Shapes, precision: Precision) -> Stage:
    text, weights = shapes.text_encoder, shapes.text_encoder.weights
    return Stage(
        "text encoder",
        text.model,
        precision,
        weights.parameters,
        weights.bytes(precision),
        weights.streamed_bytes(precision),
        weights.layer_bytes(precision, _STREAMED_AHEAD),
        caches=0,
        calls=(Call("one prompt", text.activations[precision]),),
    )


def _transformer_stages(shapes: Shapes, precision: Precision, tokens: int) -> Iterator[Stage]:
    for number, transformer in enumerate(shapes.transformers, 1):
        activations, weights = transformer.activations[precision], transformer.weights
        yield Stage(
            "transformer" if number == 1 else f"transformer_{number}",
            transformer.model,
            precision,
            weights.parameters,
            weights.bytes(precision),
            weights.streamed_bytes(precision),
            weights.layer_bytes(precision, _STREAMED_AHEAD),
            caches=0,
            calls=tuple(
                Call(f"batch {rows}", activations.bytes(rows, tokens), _GUIDANCE_BRANCHES // rows)
                for rows in (_GUIDANCE_BRANCHES, 1)
            ),
        )


def _vae_stage(name: str, vae: Vae, shapes: Shapes, precision: Precision, size: Size) -> Stage:
    frames, height, width = shapes.geometry.latents(size)
    sizes = (height, width, frames, precision)
    return Stage(
        name,
        vae.model,
        precision,
        vae.parameters,
        vae.weight_bytes(precision),
        streamable=0,
        ahead=0,
        caches=vae.cache_bytes(*sizes),
        calls=(Call("whole", vae.whole_bytes(*sizes)), Call("in bands", vae.band_bytes(*sizes))),
    )
