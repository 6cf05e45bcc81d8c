"""Initial weights from which a small `AutoencoderKLWan` learns.

Its up- and downsampling convolutions stand on the main path without a norm. PyTorch's default weights shrink the signal
at each of them to about 0.6, beside biases of the same size, and the model then learns the background and no shape.
Here every convolution keeps the variance of its input, residual branches start small, and no step looks at other frames
than its own.
"""

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanAttentionBlock,
    WanCausalConv3d,
    WanResample,
    WanResidualBlock,
)
from torch import nn

_RESIDUAL_GAIN = 0.3
_ATTENTION_GAIN = 0.1
_OUTPUT_GAIN = 0.5
_VARIANCE_GAIN = 0.1
_LOG_VARIANCE = -5.0


@torch.no_grad()
def initialise(vae: AutoencoderKLWan, generator: torch.Generator) -> None:
    """Draws all weights of `vae` anew. A video of one frame repeated then decodes as that frame alone would."""
    for module in vae.modules():
        if isinstance(module, WanCausalConv3d):
            module.weight.zero_()
            _keep_variance(module.weight[:, :, -1], generator)
        elif isinstance(module, nn.Conv2d):
            _keep_variance(module.weight, generator)
        else:
            continue
        assert module.bias is not None
        module.bias.zero_()
    for module in vae.modules():
        if isinstance(module, WanResidualBlock):
            module.conv2.weight.mul_(_RESIDUAL_GAIN)
        elif isinstance(module, WanAttentionBlock):
            module.proj.weight.mul_(_ATTENTION_GAIN)
        elif isinstance(module, WanResample) and module.mode.endswith("3d"):
            _copy_frames(module)
    vae.decoder.conv_out.weight.mul_(_OUTPUT_GAIN)
    vae.quant_conv.weight[vae.config.z_dim :].mul_(_VARIANCE_GAIN)
    vae.quant_conv.bias[vae.config.z_dim :] = _LOG_VARIANCE


def _keep_variance(weight: torch.Tensor, generator: torch.Generator) -> None:
    """Normal weights of variance 1 / fan-in; `weight`: [out, in, height, width]."""
    weight.normal_(0, weight[0].numel() ** -0.5, generator=generator)


def _copy_frames(resample: WanResample) -> None:
    """Temporal upsampling repeats each frame; temporal downsampling takes the mean of each pair."""
    identity = torch.eye(resample.dim)[:, :, None, None]
    weight = resample.time_conv.weight.zero_()
    if resample.mode == "upsample3d":
        weight[:, :, -1] = torch.cat((identity, identity))
    else:
        weight[:, :, 1:] = identity[:, :, None] / 2
