"""Wan2.2 video from a text or an image, TI2V-5B: one transformer that takes a timestep per token."""

from functools import partial

from export import wan_parts
from export.family import Family
from export.wan_card import WanModel, check_fit, wan_card

NAME = "wan_ti2v"

_MODEL = WanModel(
    family=NAME,
    tasks=("text-to-video", "image-to-video"),
    model_id="wan2.2-ti2v-5b",
    defaults={
        "width": 1280,
        "height": 704,
        "num_frames": 121,
        "fps": 24,
        "num_inference_steps": 50,
        "guidance_scale": 5.0,
        "negative_prompt": "",
        "flow_shift": 5.0,
    },
    largest=(1280, 704),
    max_pixel_frames=1280 * 704 * 121,
    input_channels=lambda latent_channels, temporal_stride: latent_channels,
    token_timesteps=True,
)

_PARTS = (
    wan_parts.TEXT_ENCODER,
    wan_parts.transformer("wan_ti2v_transformer", token_timesteps=True),
    wan_parts.vae("wan_ti2v_vae"),
    wan_parts.vae_encoder("wan_ti2v_vae_encoder"),
)

WAN_TI2V = Family(
    name=NAME,
    pipelines=("WanPipeline", "WanImageToVideoPipeline"),
    parts=_PARTS,
    published=_MODEL,
    check=partial(check_fit, _MODEL),
    card=partial(wan_card, _MODEL, _PARTS),
    token_timesteps=True,
)
