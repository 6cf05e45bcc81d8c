"""Encoded videos of many sizes and lengths on disk, drawn and encoded once by worker processes."""

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from toy.training.device import best_device
from toy.world.draw import draw
from toy.world.scene import Place, Scene, sample_scene

log = logging.getLogger(__name__)

PART_VIDEOS = 200
_ENCODED_AT_ONCE = 8
_TOKENS_PER_STEP = 1536
"""video tokens of a training step: 32 videos of 64x64 pixels and 9 frames"""


@dataclass(frozen=True)
class Bucket:
    """Videos of one size and length.

    width, height: pixels; num_frames: 4k+1
    parts: how many times `PART_VIDEOS` videos there are
    share: of the training steps, relative to the other buckets
    token: side in pixels of the square that a token of the transformer stands for
    """

    width: int
    height: int
    num_frames: int
    parts: int
    share: float
    token: int = 16

    @property
    def name(self) -> str:
        return f"{self.width}x{self.height}x{self.num_frames}"

    @property
    def tokens(self) -> int:
        """Those of a video."""
        patches = (self.width // self.token) * (self.height // self.token)
        return patches * (1 + (self.num_frames - 1) // 4)


@dataclass(frozen=True)
class Batch:
    """Videos of one bucket.

    latents: float32 [batch, channels, latent frames, height / 8, width / 8], normalised by the VAE's mean and std
    condition: the same of the videos' first frame followed by mid-grey, or None
    """

    latents: Tensor
    scenes: list[Scene]
    condition: Tensor | None

    def to(self, device: torch.device) -> "Batch":
        condition = None if self.condition is None else self.condition.to(device)
        return replace(self, latents=self.latents.to(device), condition=condition)

    @property
    def moves(self) -> bool:
        """Whether these are videos, not images."""
        return self.latents.shape[2] > 1


class LatentCache:
    """The videos of some buckets, in memory."""

    def __init__(self, folder: Path, buckets: Sequence[Bucket]) -> None:
        """Reads what `encode_videos` has written."""
        shares = np.array([bucket.share for bucket in buckets])
        self._shares = shares / shares.sum()
        self._buckets = buckets
        self._parts = [[_read(_path(folder, bucket, part)) for part in range(bucket.parts)] for bucket in buckets]

    def batch(self, rng: np.random.Generator) -> Batch:
        """Some videos of a bucket drawn by its share; as many as make every batch cost about the same."""
        number = int(rng.choice(len(self._buckets), p=self._shares))
        parts = self._parts[number]
        size = max(1, _TOKENS_PER_STEP // self._buckets[number].tokens)
        picked = [(parts[rng.integers(len(parts))], int(rng.integers(PART_VIDEOS))) for _ in range(size)]
        conditions = [part.condition[video] for part, video in picked if part.condition is not None]
        return Batch(
            latents=torch.stack([part.latents[video] for part, video in picked]).float(),
            scenes=[part.scenes[video] for part, video in picked],
            condition=torch.stack(conditions).float() if conditions else None,
        )


def encode_videos(
    vae: Path, folder: Path, buckets: Sequence[Bucket], *, condition: bool = False, workers: int = 2, seed: int = 0
) -> None:
    """Draws and encodes the buckets' videos by the VAE in the folder `vae`; what `folder` holds already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [
        (bucket, part) for bucket in buckets for part in range(bucket.parts) if not _path(folder, bucket, part).exists()
    ]
    if not missing:
        return
    work = partial(encode_part, vae, folder, condition, seed)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done, future in enumerate(as_completed([pool.submit(work, *item) for item in missing]), start=1):
            log.info("encoded %s: part %d of %d", future.result(), done, len(missing))


def encode_batch(vae: Any, videos: Tensor) -> Tensor:
    """Normalised mean latents of videos, float32 [batch, RGB, frames, height, width], -1..1."""
    from toy.training.vae_forward import encode

    mean, std = (
        torch.tensor(values, device=videos.device).view(1, -1, 1, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    normalised: Tensor = (encode(vae, videos)[0] - mean) / std
    return normalised.contiguous()


def encode_part(vae_folder: Path, folder: Path, condition: bool, seed: int, bucket: Bucket, part: int) -> str:
    from diffusers import AutoencoderKLWan

    torch.set_num_threads(1)
    device = best_device()
    vae = AutoencoderKLWan.from_pretrained(vae_folder, torch_dtype=torch.float32).to(device)
    rng = np.random.default_rng([seed, bucket.width, bucket.height, bucket.num_frames, part])
    scenes = [sample_scene(rng) for _ in range(PART_VIDEOS)]
    latents: list[Tensor] = []
    conditions: list[Tensor] = []
    with torch.inference_mode():
        for first in range(0, PART_VIDEOS, _ENCODED_AT_ONCE):
            drawn = [
                draw(scene, bucket.width, bucket.height, bucket.num_frames)
                for scene in scenes[first : first + _ENCODED_AT_ONCE]
            ]
            videos = torch.from_numpy(np.stack(drawn)).to(device).permute(0, 4, 1, 2, 3) * 2 - 1
            latents.append(encode_batch(vae, videos))
            if condition:
                videos[:, :, 1:] = 0
                conditions.append(encode_batch(vae, videos))
    path = _path(folder, bucket, part)
    unfinished = path.with_suffix(".part")
    save_file(
        {"latents": torch.cat(latents).half().cpu()}
        | ({"condition": torch.cat(conditions).half().cpu()} if condition else {}),
        unfinished,
        metadata={"scenes": json.dumps([asdict(scene) for scene in scenes])},
    )
    unfinished.replace(path)
    return bucket.name


@dataclass(frozen=True)
class _Part:
    latents: Tensor
    scenes: list[Scene]
    condition: Tensor | None


def _path(folder: Path, bucket: Bucket, part: int) -> Path:
    return folder / f"{bucket.name}-{part:03}.safetensors"


def _read(path: Path) -> _Part:
    with safe_open(path, "pt") as file:
        scenes = [
            Scene(**{**values, "start": Place(**values["start"]), "end": Place(**values["end"])})
            for values in json.loads(file.metadata()["scenes"])
        ]
        condition = file.get_tensor("condition") if "condition" in file.keys() else None  # noqa: SIM118
        return _Part(file.get_tensor("latents"), scenes, condition)
