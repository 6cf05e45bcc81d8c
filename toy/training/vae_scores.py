"""How well an autoencoder gives videos back: in decibels, by what the judge still reads, and to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from toy.training.vae_batch import to_tensor
from toy.training.vae_forward import decode, encode
from toy.world.detect import detect
from toy.world.draw import draw
from toy.world.scene import Scene, sample_scene
from toy.world.sheet import Exhibit, contact_sheet


@dataclass(frozen=True)
class HeldOut:
    """Scenes that no stage sees, and their videos, float32 [batch, RGB, frames, height, width], -1..1."""

    scenes: Sequence[Scene]
    videos: Tensor

    @classmethod
    def draw(cls, seed: int, count: int, *, width: int = 64, height: int = 64, frames: int = 9) -> "HeldOut":
        rng = np.random.default_rng(seed)
        scenes = [sample_scene(rng) for _ in range(count)]
        return cls(scenes, to_tensor([draw(scene, width, height, frames) for scene in scenes]))


@torch.no_grad()
def reconstruct(vae: AutoencoderKLWan, videos: Tensor) -> Tensor:
    """The videos (float32 [batch, RGB, frames, height, width], -1..1) decoded from the means of their latents."""
    parts = [decode(vae, encode(vae, part.to(vae.device))[0]).cpu() for part in torch.split(videos, 4)]
    return torch.cat(parts).clamp(-1, 1)


def psnr(reconstruction: Tensor, videos: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each video in dB, [batch]; both -1..1."""
    error = ((reconstruction - videos) / 2).square().flatten(1).mean(dim=1)
    return -10 * torch.log10(error)


def scores(held_out: HeldOut, reconstruction: Tensor) -> Mapping[str, float]:
    """Mean PSNR in dB, and the shares of reconstructions whose shape, colour and motion are read right."""
    seen = [detect(frames) for frames in to_frames(reconstruction)]
    return {"psnr": psnr(reconstruction, held_out.videos).mean().item()} | {
        name: float(np.mean([getattr(a, name) == getattr(b, name) for a, b in zip(seen, held_out.scenes, strict=True)]))
        for name in ("shape", "colour", "motion")
    }


def sheet(held_out: HeldOut, reconstruction: Tensor) -> Image.Image:
    """Each video over its reconstruction, with its PSNR and the shape where it is read wrong."""
    exhibits = []
    for scene, before, after in zip(held_out.scenes, held_out.videos, reconstruction, strict=True):
        above, below = to_frames(torch.stack((before, after)))
        shape = detect(below).shape
        text = f"{scene.colour} {scene.shape} {scene.motion}, {psnr(after[None], before[None]).item():.1f} dB"
        pair = np.concatenate((above, below), axis=1)
        exhibits.append(Exhibit(pair, text, "" if shape == scene.shape else f"read as {shape}"))
    return contact_sheet(exhibits, columns=3)


def to_frames(videos: Tensor) -> NDArray[np.float32]:
    """float32 [batch, frames, height, width, RGB], 0..1."""
    frames: NDArray[np.float32] = (videos.permute(0, 2, 3, 4, 1) / 2 + 0.5).numpy()
    return frames
