"""Wan2.2 image-to-video, I2V-A14B: a WanImageToVideoPipeline whose transformers see the image beside the latents."""

from functools import partial

from export import wan_parts
from export.family import Family
from export.wan_card import WanModel, check_fit, wan_card

NAME = "wan_i2v"

_MODEL = WanModel(
    family=NAME,
    tasks=("image-to-video",),
    model_id="wan2.2-i2v-a14b",
    defaults={
        "width": 832,
        "height": 480,
        "num_frames": 81,
        "fps": 16,
        "num_inference_steps": 40,
        "guidance_scale": 3.5,
        "guidance_scale_2": 3.5,
        "negative_prompt": "",
        "flow_shift": 5.0,
        "boundary_ratio": 0.9,
    },
    largest=(1280, 720),
    max_pixel_frames=1280 * 720 * 81,
    # latents, then a mask of the pixel frames in each latent frame, then the encoded image
    input_channels=lambda latent_channels, temporal_stride: latent_channels + temporal_stride + latent_channels,
)

_PARTS = (
    wan_parts.TEXT_ENCODER,
    wan_parts.transformer("wan_i2v_transformer"),
    wan_parts.transformer_2("wan_i2v_transformer_2"),
    wan_parts.vae("wan_vae"),
    wan_parts.vae_encoder("wan_vae_encoder"),
)

WAN_I2V = Family(
    name=NAME,
    pipelines=("WanImageToVideoPipeline",),
    parts=_PARTS,
    published=_MODEL,
    check=partial(check_fit, _MODEL),
    card=partial(wan_card, _MODEL, _PARTS),
)
