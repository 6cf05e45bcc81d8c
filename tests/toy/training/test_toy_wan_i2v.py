"""toy-wan-i2v grows out of a text-to-video checkpoint, whose autoencoder and words it keeps."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline

from export.defaults import read_defaults
from export.tiny.t5_tokenizer import word_tokenizer
from toy.training import latents
from toy.training.assemble import for_inference, save_checkpoint, text_to_video
from toy.training.denoiser import Denoiser
from toy.training.latents import Bucket
from toy.training.text import umt5_encoder
from toy.training.toy_wan_i2v import EXPERTS, Workplace, assemble, train_expert
from toy.training.transformer import wan_transformer
from toy.world.captions import VOCABULARY


@pytest.fixture
def t2v(tmp_path: Path) -> Path:
    """Like toy-wan-t2v, but not trained."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer(VOCABULARY)
    model = Denoiser(wan_transformer(64), umt5_encoder(len(tokenizer)), tokenizer)
    vae = AutoencoderKLWan(
        base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 16, latents_std=[0.3] * 16
    )
    experts = for_inference(model.transformer), for_inference(model.transformer)
    save_checkpoint(text_to_video(vae, model.text_encoder, tokenizer, experts, shift=3.0), tmp_path / "t2v", {})
    return tmp_path / "t2v"


def test_from_text_to_video_to_image_to_video(t2v: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "PART_VIDEOS", 2)
    bucket = Bucket(32, 32, 5, parts=1, share=1)
    (tmp_path / "videos").mkdir()
    latents.encode_part(t2v / "vae", tmp_path / "videos", True, 0, bucket, 0)
    place = Workplace(tmp_path, t2v, scale=0.0012, buckets=(bucket,), captions=1)

    for expert in EXPERTS:
        train_expert(place, expert)
    assemble(place, tmp_path / "i2v")

    pipeline = WanImageToVideoPipeline.from_pretrained(tmp_path / "i2v", dtype=torch.float32)
    for transformer in (pipeline.transformer, pipeline.transformer_2):
        assert transformer.config.in_channels == 36
        assert transformer.patch_embedding.weight[:, 16:].abs().max() > 0  # it has begun to look at the image
    kept = AutoencoderKLWan.from_pretrained(t2v / "vae").state_dict()
    assert all(torch.equal(weight, kept[name]) for name, weight in pipeline.vae.state_dict().items())
    assert read_defaults(tmp_path / "i2v").id == "toy-wan-i2v"
    assert (tmp_path / "sheets" / "result.png").exists()
