"""The model card of a Wan2.2 checkpoint, whatever its family."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from export.checkpoint import Checkpoint
from export.defaults import OwnDefaults
from export.errors import CheckpointError
from export.family import Part, Published
from export.memory_use import wan_memory_use
from export.solvers import own_solver, static_solvers
from protocol.errors import InvalidRequest
from protocol.model_card import Components, LatentSpace, Limits, ModelCard, Task
from protocol.resolve import parse, resolve
from protocol.sampling import SamplingDefaults, Solver

_MAX_FRAMES = 161

_STRIDES = {"scale_factor_spatial": 8, "scale_factor_temporal": 4}
"""of VAEs whose configuration was written before diffusers had others"""
_SHIFT_KEYS: Mapping[Solver, str] = {"unipc": "flow_shift", "euler": "shift"}
"""solver -> the key of the flow shift in its configuration"""


@dataclass(frozen=True, kw_only=True)
class WanModel(Published):
    """What the families differ in."""

    family: str
    tasks: tuple[Task, ...]
    max_sequence_length: int = 512
    input_channels: Callable[[int, int], int]
    """of the transformer, from the VAE's latent channels and its temporal stride"""
    token_timesteps: bool = False
    """each token has its own timestep, and not each sample"""


def wan_card(model: WanModel, parts: tuple[Part, ...], checkpoint: Checkpoint, own: OwnDefaults) -> ModelCard:
    """The card: the family's defaults, then the checkpoint's own files, then its defaults.json.

    Raises:
        CheckpointError: the components do not fit each other or the family, or a default is impossible.
    """
    check_fit(model, checkpoint)
    transformer, vae = checkpoint.config("transformer"), _STRIDES | checkpoint.config("vae")
    stride = vae["scale_factor_temporal"]
    size_multiple = vae["scale_factor_spatial"] * transformer["patch_size"][1]
    max_sequence_length = own.max_sequence_length or model.max_sequence_length
    try:
        card = ModelCard(
            id=own.id or model.model_id,
            family=model.family,
            tasks=model.tasks,
            solvers=static_solvers(checkpoint),
            defaults=_sampling_defaults(model, checkpoint, own),
            limits=Limits(
                size_multiple=size_multiple,
                # the rotary tables have one entry a patch along each axis
                max_side=transformer["rope_max_seq_len"] * size_multiple,
                max_frames=min(own.max_frames or _MAX_FRAMES, (transformer["rope_max_seq_len"] - 1) * stride + 1),
                max_pixel_frames=own.max_pixel_frames or model.max_pixel_frames,
            ),
            latents=LatentSpace(
                channels=vae["z_dim"],
                temporal_stride=stride,
                spatial_stride=vae["scale_factor_spatial"],
                mean=vae["latents_mean"],
                std=vae["latents_std"],
            ),
            components=Components(**{part.component: part.model for part in parts if part.source in checkpoint.models}),
            max_sequence_length=max_sequence_length,
            num_train_timesteps=checkpoint.config("scheduler").get("num_train_timesteps", 1000),
            memory=wan_memory_use(
                transformer, checkpoint.config("text_encoder"), max_sequence_length, model.token_timesteps
            ),
        )
        own_size = (card.defaults.height, card.defaults.width, 3)
        image = np.zeros(own_size, np.uint8) if card.needs_image else None
        resolve(parse({"prompt": "a request that leaves everything else to the model", "image": image}), card)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise CheckpointError(f"{checkpoint.folder}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except InvalidRequest as error:
        raise CheckpointError(f"{checkpoint.folder}: its default {error.field} {error.message}") from None
    return card


def _sampling_defaults(model: WanModel, checkpoint: Checkpoint, own: OwnDefaults) -> SamplingDefaults:
    scheduler, solver = checkpoint.config("scheduler"), own_solver(checkpoint)
    shift_key = _SHIFT_KEYS[solver]
    merged = {**model.defaults, "solver": solver}
    if scheduler.get(shift_key) is not None:
        merged["flow_shift"] = scheduler[shift_key]
    if checkpoint.index.get("boundary_ratio") is not None:
        merged["boundary_ratio"] = checkpoint.index["boundary_ratio"]
    merged |= own.sampling(checkpoint.folder, model.family, model.defaults)
    if "transformer_2" not in checkpoint.models:
        merged |= {"guidance_scale_2": None, "boundary_ratio": None}
    return SamplingDefaults(**merged)


def check_fit(model: WanModel, checkpoint: Checkpoint) -> None:
    """Wan models share their classes; tell them apart, and catch components of different models.

    Raises:
        CheckpointError: saying which do not fit.
    """
    if bool(checkpoint.index.get("expand_timesteps")) != model.token_timesteps:
        takes = "a timestep per sample" if model.token_timesteps else "a timestep per token (TI2V)"
        raise CheckpointError(f"{checkpoint.folder} takes {takes}, so it is not of family {model.family}")
    vae, text = _STRIDES | checkpoint.config("vae"), checkpoint.config("text_encoder")["d_model"]
    channels = model.input_channels(vae["z_dim"], vae["scale_factor_temporal"])
    for component in ("transformer", "transformer_2"):
        if component not in checkpoint.models:
            continue
        config = checkpoint.config(component)
        if config.get("image_dim") is not None or any(checkpoint.index.get("image_encoder") or ()):
            raise CheckpointError(
                f"{checkpoint.folder} has a CLIP image encoder, as Wan2.1's image-to-video models do; "
                f"those of family {model.family} are Wan2.2's and have none"
            )
        if (config["in_channels"], config["out_channels"]) != (channels, vae["z_dim"]):
            raise CheckpointError(
                f"{checkpoint.folder}: {component} has {config['in_channels']} channels in and "
                f"{config['out_channels']} out; {model.family} with this VAE has {channels} and {vae['z_dim']}"
            )
        if config["text_dim"] != text:
            raise CheckpointError(
                f"{checkpoint.folder}: {component} takes text of width {config['text_dim']} "
                f"and the text encoder gives {text}"
            )
