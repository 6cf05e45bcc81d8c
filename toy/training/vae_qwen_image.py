"""Qwen-Image's autoencoder out of Wan's: the same network under another class."""

from diffusers import AutoencoderKLQwenImage, AutoencoderKLWan

_SHARED = ("base_dim", "z_dim", "dim_mult", "num_res_blocks", "temperal_downsample", "latents_mean", "latents_std")


def qwen_image_vae(vae: AutoencoderKLWan) -> AutoencoderKLQwenImage:
    """`AutoencoderKLQwenImage` in float32 with the weights of `vae`, of Wan2.1's layout; it computes the same.

    Raises:
        RuntimeError: `vae` has Wan2.2's residual layout, whose weights do not fit.
    """
    twin = AutoencoderKLQwenImage(**{name: vae.config[name] for name in _SHARED})
    twin.load_state_dict(vae.state_dict())
    return twin.to(vae.device)
