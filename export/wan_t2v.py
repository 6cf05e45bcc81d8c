"""Wan2.2 text-to-video (and Wan2.1's, which has one expert): a WanPipeline with 16-channel latents."""

from functools import partial

from export import wan_parts
from export.family import Family
from export.wan_card import WanModel, check_fit, wan_card

NAME = "wan_t2v"

_MODEL = WanModel(
    family=NAME,
    tasks=("text-to-video",),
    model_id="wan2.2-t2v-a14b",
    defaults={
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
    },
    largest=(1280, 720),
    max_pixel_frames=1280 * 720 * 81,
    input_channels=lambda latent_channels, temporal_stride: latent_channels,
)

_PARTS = (
    wan_parts.TEXT_ENCODER,
    wan_parts.transformer("wan_t2v_transformer"),
    wan_parts.transformer_2("wan_t2v_transformer_2"),
    wan_parts.vae("wan_vae"),
)

WAN_T2V = Family(
    name=NAME,
    pipelines=("WanPipeline",),
    parts=_PARTS,
    published=_MODEL,
    check=partial(check_fit, _MODEL),
    card=partial(wan_card, _MODEL, _PARTS),
)
