"""Forward passes of `AutoencoderKLWan` over whole videos, for training.

diffusers encodes and decodes chunk by chunk and carries caches between them. Over a whole video the same numbers come
from ordinary causal convolutions, with one rule: the first frame passes a temporal down- or upsampling untouched, and
the frames after it see nothing of it where they are upsampled. A lone frame needs only the last temporal tap of every
kernel (the others meet the zero padding), so it goes through two-dimensional convolutions.
"""

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanCausalConv3d,
    WanMidBlock,
    WanResample,
    WanResidualBlock,
    WanResidualDownBlock,
    WanResidualUpBlock,
    WanRMS_norm,
    WanUpBlock,
    patchify,
    unpatchify,
)
from torch import Tensor, nn
from torch.nn import functional as F


def encode(vae: AutoencoderKLWan, videos: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of the latents of `videos`.

    Args:
        videos: [batch, RGB, 1 + 4n, height, width], -1..1.

    Returns:
        two of [batch, z_dim, 1 + n, height / 8, width / 8] (a sixteenth for patch size 2), as
        `vae.encode(videos).latent_dist` has them.
    """
    encoder = vae.encoder
    x = patchify(videos, vae.config.patch_size or 1)
    x = _convolve(encoder.conv_in, x)
    for block in encoder.down_blocks:
        x = _down(block, x)
    x = _middle(encoder.mid_block, x)
    x = _convolve(encoder.conv_out, _activate(encoder.norm_out, x))
    mean, log_variance = _convolve(vae.quant_conv, x).chunk(2, dim=1)
    return mean, log_variance.clamp(-30, 20)


def decode(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """The videos of `latents` (as `encode` gives them); like `vae.decode(latents).sample`, but not clamped to -1..1."""
    decoder = vae.decoder
    x = _convolve(decoder.conv_in, _convolve(vae.post_quant_conv, latents))
    x = _middle(decoder.mid_block, x)
    for block in decoder.up_blocks:
        x = _up(block, x)
    x = _convolve(decoder.conv_out, _activate(decoder.norm_out, x))
    videos: Tensor = unpatchify(x, vae.config.patch_size or 1)
    return videos


def _convolve(convolution: WanCausalConv3d, x: Tensor) -> Tensor:
    if x.shape[2] > 1:
        y: Tensor = convolution(x)
        return y
    weight = convolution.weight[:, :, -1]
    return F.conv2d(x[:, :, 0], weight, convolution.bias, padding=weight.shape[-1] // 2)[:, :, None]


def _activate(norm: WanRMS_norm, x: Tensor) -> Tensor:
    """SiLU of the norm; the same as `F.silu(norm(x))` in half the passes over memory."""
    inverse = torch.rsqrt(x.square().sum(dim=1, keepdim=True) + 1e-24) * norm.scale
    return F.silu(x * inverse * norm.gamma)


def _residual(block: WanResidualBlock, x: Tensor) -> Tensor:
    shortcut = x if isinstance(block.conv_shortcut, nn.Identity) else _convolve(block.conv_shortcut, x)
    x = _convolve(block.conv1, _activate(block.norm1, x))
    return shortcut + _convolve(block.conv2, _activate(block.norm2, x))


def _middle(block: WanMidBlock, x: Tensor) -> Tensor:
    x = _residual(block.resnets[0], x)
    return _residual(block.resnets[1], block.attentions[0](x))


def _down(block: nn.Module, x: Tensor) -> Tensor:
    if isinstance(block, WanResidualDownBlock):
        shortcut = block.avg_shortcut(x)
        for resnet in block.resnets:
            x = _residual(resnet, x)
        if block.downsampler is not None:
            x = _resample(block.downsampler, x)
        return torch.add(x, shortcut)
    return _resample(block, x) if isinstance(block, WanResample) else _residual(block, x)


def _up(block: WanUpBlock | WanResidualUpBlock, x: Tensor) -> Tensor:
    if isinstance(block, WanResidualUpBlock):
        upsampler, shortcut = block.upsampler, block.avg_shortcut
    else:
        upsampler, shortcut = block.upsamplers[0] if block.upsamplers is not None else None, None
    start = x
    for resnet in block.resnets:
        x = _residual(resnet, x)
    if upsampler is not None:
        x = _resample(upsampler, x)
    return x if shortcut is None else torch.add(x, shortcut(start, first_chunk=True))


def _resample(block: WanResample, x: Tensor) -> Tensor:
    if block.mode == "upsample3d" and x.shape[2] > 1:
        first, rest = x[:, :, :1], block.time_conv(x[:, :, 1:])
        even, odd = rest.chunk(2, dim=1)
        rest = torch.stack((even, odd), dim=3).flatten(2, 3)
        x = torch.cat((first, rest), dim=2)
    batch = len(x)
    frames = block.resample(x.transpose(1, 2).flatten(0, 1))
    x = frames.unflatten(0, (batch, -1)).transpose(1, 2)
    if block.mode == "downsample3d" and x.shape[2] > 1:
        x = torch.cat((x[:, :, :1], block.time_conv(x)), dim=2)
    return x
