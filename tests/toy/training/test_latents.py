"""Videos are drawn and encoded once, the same whichever process does it, and come back with their scenes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan

from toy.training import latents
from toy.training.latents import Bucket, LatentCache, encode_batch, encode_videos
from toy.world.draw import draw

BUCKETS = (Bucket(48, 32, 5, parts=2, share=0.75), Bucket(32, 32, 1, parts=1, share=0.25))


@pytest.fixture
def vae_folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    AutoencoderKLWan(
        base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.1] * 16, latents_std=[0.5] * 16
    ).save_pretrained(tmp_path / "vae")
    return tmp_path / "vae"


@pytest.fixture
def videos(vae_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(latents, "PART_VIDEOS", 4)
    for bucket in BUCKETS:
        for part in range(bucket.parts):
            latents.encode_part(vae_folder, tmp_path / "videos", True, 0, bucket, part)
    return tmp_path / "videos"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()


def test_every_step_costs_about_the_same(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "_TOKENS_PER_STEP", 100)
    assert Bucket(64, 64, 9, 1, 1).tokens == 48
    assert Bucket(64, 64, 1, 1, 1).tokens == 16
    assert Bucket(96, 64, 9, 1, 1, token=32).tokens == 18
    for bucket in BUCKETS:
        batch = LatentCache(videos, [bucket]).batch(np.random.default_rng(0))
        assert len(batch.latents) == 100 // bucket.tokens


def test_latents_belong_to_their_scenes(videos: Path, vae_folder: Path) -> None:
    vae = AutoencoderKLWan.from_pretrained(vae_folder)
    batch = LatentCache(videos, BUCKETS[:1]).batch(np.random.default_rng(0))
    assert batch.moves
    video = draw(batch.scenes[3], 48, 32, 5)
    pixels = torch.from_numpy(video).permute(3, 0, 1, 2)[None] * 2 - 1
    encoded = vae.encode(pixels).latent_dist.mean
    torch.testing.assert_close(batch.latents[3:4], (encoded - 0.1) / 0.5, atol=2e-3, rtol=2e-3)  # kept in float16
    pixels[:, :, 1:] = 0
    assert batch.condition is not None
    with torch.no_grad():
        torch.testing.assert_close(batch.condition[3:4], encode_batch(vae, pixels), atol=2e-3, rtol=2e-3)


def test_buckets_come_by_their_share(videos: Path) -> None:
    cache, rng = LatentCache(videos, BUCKETS), np.random.default_rng(0)
    moving = [cache.batch(rng).moves for _ in range(200)]
    assert 0.65 < sum(moving) / 200 < 0.85


def test_the_same_generator_gives_the_same_batch(videos: Path) -> None:
    cache = LatentCache(videos, BUCKETS)
    one, other = cache.batch(np.random.default_rng(7)), cache.batch(np.random.default_rng(7))
    assert torch.equal(one.latents, other.latents)
    assert one.scenes == other.scenes


def test_encoding_goes_on_where_it_stopped(vae_folder: Path, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = videos / "48x32x5-000.safetensors"
    before = kept.stat().st_mtime_ns
    encode_videos(vae_folder, videos, BUCKETS, workers=1)  # nothing is missing: no worker starts
    assert kept.stat().st_mtime_ns == before
    assert sorted(path.name for path in videos.iterdir()) == [
        "32x32x1-000.safetensors",
        "48x32x5-000.safetensors",
        "48x32x5-001.safetensors",
    ]
