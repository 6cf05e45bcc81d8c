"""The stages of toy-wan-t2v follow one another and end in a checkpoint; what is finished is not trained again."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanPipeline
from typer.testing import CliRunner

from export.defaults import read_defaults
from toy.training import latents
from toy.training.__main__ import app
from toy.training.flow import HIGH_NOISE, LOW_NOISE
from toy.training.latents import Bucket
from toy.training.toy_wan_t2v import BASE, HIGH, LOW, Workplace, assemble, train_base, train_expert, trained


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A few steps of every stage on a few small videos."""
    monkeypatch.setattr(latents, "PART_VIDEOS", 2)
    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 16, latents_std=[0.3] * 16
    )
    vae.save_pretrained(tmp_path / "vae")
    bucket = Bucket(32, 32, 5, parts=1, share=1)
    (tmp_path / "videos").mkdir()
    latents.encode_part(tmp_path / "vae", tmp_path / "videos", False, 0, bucket, 0)
    return Workplace(tmp_path, tmp_path / "vae", scale=0.0005, buckets=(bucket,), captions=1)


def test_from_videos_to_a_checkpoint(place: Workplace, tmp_path: Path) -> None:
    train_base(place)
    train_expert(place, HIGH, HIGH_NOISE)
    train_expert(place, LOW, LOW_NOISE)
    assemble(place, place.vae, tmp_path / "toy")

    base, high, low = (trained(place, plan) for plan in (BASE, HIGH, LOW))
    for expert in (high, low):
        text = zip(expert.text_encoder.parameters(), base.text_encoder.parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in text)
    pipeline = WanPipeline.from_pretrained(tmp_path / "toy", dtype=torch.float32)
    for saved, expert in ((pipeline.transformer, high), (pipeline.transformer_2, low)):
        weight = expert.transformer.blocks[0].ffn.net[2].weight
        torch.testing.assert_close(saved.blocks[0].ffn.net[2].weight, weight, atol=1e-3, rtol=1e-3)
        assert not torch.equal(weight, base.transformer.blocks[0].ffn.net[2].weight)
    assert read_defaults(tmp_path / "toy").id == "toy-wan-t2v"
    assert sum(file.stat().st_size for file in (tmp_path / "toy").rglob("*")) < 12e6
    assert {sheet.name.split("-")[0] for sheet in (tmp_path / "sheets").iterdir()} == {"base", "high", "low", "result"}


def test_a_command_a_checkpoint() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(f"toy-{name}" in shown for name in ("wan-t2v", "wan-i2v", "wan-ti2v", "qwen-image"))
