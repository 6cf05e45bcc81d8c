"""Wan2.2 text-to-video (and Wan2.1's, which has one expert): a WanPipeline with 16-channel latents."""

from typing import Any

from pydantic import ValidationError

from export import umt5, wan_transformer, wan_vae
from export.checkpoint import Checkpoint
from export.defaults import OwnDefaults
from export.errors import CheckpointError
from export.family import Family, Part
from pipelines.errors import InvalidRequest
from pipelines.model_card import Components, LatentSpace, Limits, ModelCard, SamplingDefaults
from pipelines.request import SamplingRequest, resolve

NAME = "wan_t2v"

# Wan2.2-T2V-A14B, for what neither the checkpoint's files nor its defaults.json say
_ID = "wan2.2-t2v-a14b"
_DEFAULTS: dict[str, Any] = {
    "width": 832,
    "height": 480,
    "num_frames": 81,
    "fps": 16,
    "num_inference_steps": 40,
    "guidance_scale": 4.0,
    "guidance_scale_2": 3.0,
    "negative_prompt": "",
    "flow_shift": 12.0,
    "boundary_ratio": 0.875,
}
_MAX_FRAMES = 161
_MAX_PIXEL_FRAMES = 1280 * 720 * 81
_MAX_SEQUENCE_LENGTH = 512

_SOLVERS = {"UniPCMultistepScheduler": ("unipc", "flow_shift"), "FlowMatchEulerDiscreteScheduler": ("euler", "shift")}
"""scheduler class -> the solver that it is, and the key of the flow shift in its configuration"""


def _card(checkpoint: Checkpoint, own: OwnDefaults) -> ModelCard:
    _check_fit(checkpoint)
    transformer, vae = checkpoint.config("transformer"), checkpoint.config("vae")
    stride = vae["scale_factor_temporal"]
    size_multiple = vae["scale_factor_spatial"] * transformer["patch_size"][1]
    try:
        card = ModelCard(
            id=own.id or _ID,
            family=NAME,
            tasks=("text-to-video",),
            defaults=_sampling_defaults(checkpoint, own),
            limits=Limits(
                size_multiple=size_multiple,
                # the rotary tables have one entry a patch along each axis
                max_side=transformer["rope_max_seq_len"] * size_multiple,
                max_frames=min(own.max_frames or _MAX_FRAMES, (transformer["rope_max_seq_len"] - 1) * stride + 1),
                max_pixel_frames=own.max_pixel_frames or _MAX_PIXEL_FRAMES,
            ),
            latents=LatentSpace(
                channels=vae["z_dim"],
                temporal_stride=stride,
                spatial_stride=vae["scale_factor_spatial"],
                mean=vae["latents_mean"],
                std=vae["latents_std"],
            ),
            components=Components(
                **{part.component: part.model for part in _PARTS if part.component in checkpoint.models}
            ),
            max_sequence_length=own.max_sequence_length or _MAX_SEQUENCE_LENGTH,
            num_train_timesteps=checkpoint.config("scheduler").get("num_train_timesteps", 1000),
        )
        resolve(SamplingRequest(prompt="a request that leaves everything else to the model"), card)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise CheckpointError(f"{checkpoint.folder}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except InvalidRequest as error:
        raise CheckpointError(f"{checkpoint.folder}: its default {error.field} {error.message}") from None
    return card


def _sampling_defaults(checkpoint: Checkpoint, own: OwnDefaults) -> SamplingDefaults:
    scheduler = checkpoint.config("scheduler")
    if scheduler.get("_class_name") not in _SOLVERS:
        raise CheckpointError(
            f"{checkpoint.folder}: the scheduler is a {scheduler.get('_class_name')}; known: {', '.join(_SOLVERS)}"
        )
    solver, shift_key = _SOLVERS[scheduler["_class_name"]]
    merged = {**_DEFAULTS, "solver": solver}
    if scheduler.get(shift_key) is not None:
        merged["flow_shift"] = scheduler[shift_key]
    if checkpoint.index.get("boundary_ratio") is not None:
        merged["boundary_ratio"] = checkpoint.index["boundary_ratio"]
    merged |= own.sampling()
    if "transformer_2" not in checkpoint.models:
        merged |= {"guidance_scale_2": None, "boundary_ratio": None}
    return SamplingDefaults(**merged)


def _check_fit(checkpoint: Checkpoint) -> None:
    """Other Wan models share the pipeline class; tell them apart, and catch components of different models."""
    if checkpoint.index.get("expand_timesteps"):
        raise CheckpointError(f"{checkpoint.folder} takes a timestep per token (TI2V), so it is not of family {NAME}")
    channels, text = checkpoint.config("vae")["z_dim"], checkpoint.config("text_encoder")["d_model"]
    for component in ("transformer", "transformer_2"):
        if component not in checkpoint.models:
            continue
        config = checkpoint.config(component)
        if config["in_channels"] != channels:
            raise CheckpointError(
                f"{checkpoint.folder}: {component} takes {config['in_channels']} channels and the VAE has {channels}"
            )
        if config["text_dim"] != text:
            raise CheckpointError(
                f"{checkpoint.folder}: {component} takes text of width {config['text_dim']} "
                f"and the text encoder gives {text}"
            )


def _transformer(component: str, model: str, optional: bool) -> Part:
    return Part(
        component=component,
        class_name="WanTransformer3DModel",
        model=model,
        load=wan_transformer.load,
        graphs=wan_transformer.graphs,
        compare=wan_transformer.compare,
        optional=optional,
    )


_PARTS = (
    Part(
        component="text_encoder",
        class_name="UMT5EncoderModel",
        model="wan_text_encoder",
        load=umt5.load,
        graphs=umt5.graphs,
        compare=umt5.compare,
    ),
    _transformer("transformer", "wan_t2v_transformer", optional=False),
    _transformer("transformer_2", "wan_t2v_transformer_2", optional=True),
    Part(
        component="vae",
        class_name="AutoencoderKLWan",
        model="wan_vae",
        load=wan_vae.load,
        graphs=wan_vae.decoder_graphs,
        compare=wan_vae.compare_decoder,
    ),
)

WAN_T2V = Family(name=NAME, pipeline="WanPipeline", parts=_PARTS, card=_card)
