"""Scores of reconstructions: decibels by their definition, and what the judge still reads."""

import pytest
import torch

from toy.training.vae_scores import HeldOut, psnr, scores, sheet


@pytest.fixture(scope="module")
def held_out() -> HeldOut:
    return HeldOut.draw(seed=5, count=6)


def test_psnr_counts_a_tenth_of_the_range_as_20_db() -> None:
    videos = torch.zeros(2, 3, 1, 8, 8)
    off = videos.clone()
    off[0] += 0.2
    off[1] += 0.02
    torch.testing.assert_close(psnr(off, videos), torch.tensor([20.0, 40.0]))


def test_held_out_videos_are_the_seed_s(held_out: HeldOut) -> None:
    assert held_out.videos.shape == (6, 3, 9, 64, 64)
    assert torch.equal(HeldOut.draw(seed=5, count=6).videos, held_out.videos)
    assert not torch.equal(HeldOut.draw(seed=6, count=6).videos, held_out.videos)


def test_good_reconstructions_are_read_right(held_out: HeldOut) -> None:
    noise = torch.randn(held_out.videos.shape, generator=torch.Generator().manual_seed(0))
    figures = scores(held_out, (held_out.videos + 0.02 * noise).clamp(-1, 1))
    assert figures["psnr"] > 39
    assert figures["shape"] == figures["colour"] == figures["motion"] == 1


def test_reconstructions_of_other_videos_are_read_wrong(held_out: HeldOut) -> None:
    figures = scores(held_out, held_out.videos.roll(1, dims=0))
    assert figures["psnr"] < 20
    assert min(figures["shape"], figures["colour"], figures["motion"]) < 1


def test_sheet_shows_every_pair(held_out: HeldOut) -> None:
    image = sheet(held_out, held_out.videos)
    assert image.width > 3 * 5 * 64 * 2
    assert image.height > 2 * 2 * 64 * 2
