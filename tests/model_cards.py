"""Cards of small models, one of each kind."""

from typing import Any

from protocol.model_card import Components, LatentSpace, Limits, ModelCard, Task
from protocol.sampling import SamplingDefaults


def model_card(model_id: str = "toy-wan-t2v", *, experts: int = 2, **changes: Any) -> ModelCard:
    """Text-to-video: 64x48, 9 frames at 8 fps, sizes in multiples of 16, at most 161 frames."""
    card = ModelCard(
        id=model_id,
        family="wan_t2v",
        tasks=("text-to-video",),
        defaults=SamplingDefaults(
            width=64,
            height=48,
            num_frames=9,
            fps=8,
            num_inference_steps=3,
            guidance_scale=4.0,
            guidance_scale_2=3.0 if experts == 2 else None,
            negative_prompt="ugly",
            flow_shift=12.0,
            boundary_ratio=0.875 if experts == 2 else None,
        ),
        limits=Limits(size_multiple=16, max_side=4096, max_frames=161, max_pixel_frames=256 * 256 * 161),
        latents=LatentSpace(channels=1, temporal_stride=4, spatial_stride=8, mean=(0.0,), std=(1.0,)),
        components=Components(
            text_encoder="wan_text_encoder",
            transformer="wan_t2v_transformer",
            transformer_2="wan_t2v_transformer_2" if experts == 2 else None,
            vae="wan_vae",
        ),
        max_sequence_length=8,
        num_train_timesteps=1000,
    )
    return card.model_copy(update=changes)


def image_to_video_card(model_id: str = "toy-wan-i2v") -> ModelCard:
    """As `model_card`, from an image."""
    return model_card(model_id, family="wan_i2v", tasks=("image-to-video",))


def text_or_image_to_video_card(model_id: str = "toy-wan-ti2v") -> ModelCard:
    """As `model_card`, with one transformer, from a text alone or with an image."""
    tasks: tuple[Task, ...] = ("text-to-video", "image-to-video")
    return model_card(model_id, experts=1, family="wan_ti2v", tasks=tasks)


def text_to_image_card(model_id: str = "toy-qwen-image") -> ModelCard:
    """Images: 64x48, guided by true_cfg_scale, sizes in multiples of 16."""
    return ModelCard(
        id=model_id,
        family="qwen_image",
        tasks=("text-to-image",),
        solvers=("euler",),
        defaults=SamplingDefaults.model_validate(
            {
                "width": 64,
                "height": 48,
                "num_inference_steps": 3,
                "true_cfg_scale": 4.0,
                "negative_prompt": " ",
                "solver": "euler",
            }
        ),
        limits=Limits(size_multiple=16, max_side=4096, max_pixel_frames=1024 * 1024),
        latents=LatentSpace(channels=1, temporal_stride=4, spatial_stride=8, mean=(0.0,), std=(1.0,)),
        components=Components(
            text_encoder="qwen_image_text_encoder", transformer="qwen_image_transformer", vae="qwen_image_vae"
        ),
        max_sequence_length=8,
        num_train_timesteps=1000,
    )
