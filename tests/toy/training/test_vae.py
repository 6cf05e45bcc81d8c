"""The stages hand on what they should: a frozen encoder with statistics, then a better decoder for the same latents."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan

from toy.training.vae import FINAL, FROZEN, LAYOUT, train_decoder, train_encoder

TINY = {**LAYOUT, "base_dim": 4, "z_dim": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a few steps of every stage."""
    folder = tmp_path_factory.mktemp("vae")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toy.training.vae._HELD_OUT_VIDEOS", 2)
        patch.setattr("toy.training.vae._STATISTICS_BATCHES", 1)
        train_encoder(folder, factor=0.002, layout=TINY)
        train_decoder(folder, factor=0.002)
    torch.set_num_threads(threads)
    return folder


def test_frozen_autoencoder_knows_its_latents(folder: Path) -> None:
    config = AutoencoderKLWan.from_pretrained(folder / FROZEN).config
    assert len(config.latents_mean) == len(config.latents_std) == 4
    assert min(config.latents_std) >= 0.199 * max(config.latents_std) > 0


def test_decoder_stage_leaves_the_latents_alone(folder: Path) -> None:
    frozen, final = (AutoencoderKLWan.from_pretrained(folder / name) for name in (FROZEN, FINAL))
    for name, weight in frozen.state_dict().items():
        same = torch.equal(weight, final.state_dict()[name])
        assert same == name.startswith(("encoder.", "quant_conv.")), name
    assert final.config.latents_std == frozen.config.latents_std


def test_contact_sheets_lie_beside_the_states(folder: Path) -> None:
    sheets = {path.stem.rsplit("-", 1)[0] for path in folder.glob("*.png")}
    assert sheets == {"vae-frames", "vae-videos", "vae-decoder"}
    assert {path.name for path in folder.glob("*.pt")} == {"vae-frames.pt", "vae-videos.pt", "vae-decoder.pt"}


def test_finished_work_is_not_repeated(folder: Path) -> None:
    before = (folder / FROZEN / "config.json").stat().st_mtime_ns
    train_encoder(folder, factor=0.002, layout=TINY)
    assert (folder / FROZEN / "config.json").stat().st_mtime_ns == before
