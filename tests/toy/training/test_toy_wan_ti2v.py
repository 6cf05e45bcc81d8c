"""toy-wan-ti2v ends in a checkpoint that makes videos from captions alone and after a first frame."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline, WanPipeline
from PIL import Image

from export.tiny.t5_tokenizer import word_tokenizer
from toy.training import latents
from toy.training.assemble import for_inference, save_checkpoint, text_to_video
from toy.training.denoiser import Denoiser
from toy.training.latents import Bucket
from toy.training.text import umt5_encoder
from toy.training.toy_wan_ti2v import DEFAULTS, Workplace, assemble, train_transformer
from toy.training.transformer import wan_transformer
from toy.training.vae import FINAL, FROZEN, RESIDUAL_LAYOUT
from toy.world.captions import VOCABULARY


def test_from_words_and_videos_to_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    tokenizer = word_tokenizer(VOCABULARY)
    model = Denoiser(wan_transformer(64), umt5_encoder(len(tokenizer)), tokenizer)
    start = text_to_video(
        AutoencoderKLWan(base_dim=4), model.text_encoder, tokenizer, (for_inference(model.transformer),), shift=3.0
    )
    save_checkpoint(start, tmp_path / "t2v", {})
    vae = AutoencoderKLWan(**{**RESIDUAL_LAYOUT, "base_dim": 4, "decoder_base_dim": 4})
    for name in (FROZEN, FINAL):
        vae.save_pretrained(tmp_path / "vae" / name)
    monkeypatch.setattr(latents, "PART_VIDEOS", 2)
    for name, value in {"width": 32, "height": 32, "num_frames": 5}.items():
        monkeypatch.setitem(DEFAULTS, name, value)
    bucket = Bucket(64, 32, 5, parts=1, share=1, token=32)
    (tmp_path / "videos").mkdir()
    latents.encode_part(tmp_path / "vae" / FROZEN, tmp_path / "videos", False, 0, bucket, 0)
    place = Workplace(tmp_path, tmp_path / "t2v", scale=0.0005, small=(bucket,), large=(bucket,), captions=1)

    assemble(place, train_transformer(place), tmp_path / "ti2v")

    pipeline = WanPipeline.from_pretrained(tmp_path / "ti2v", dtype=torch.float32)
    assert pipeline.config.expand_timesteps
    pipeline.set_progress_bar_config(disable=True)
    arguments = {"width": 32, "height": 32, "num_frames": 5, "num_inference_steps": 2, "output_type": "np"}
    assert pipeline("a red ring", **arguments).frames.shape == (1, 5, 32, 32, 3)
    with_image = WanImageToVideoPipeline(
        **pipeline.components, image_encoder=None, image_processor=None, expand_timesteps=True
    )
    with_image.set_progress_bar_config(disable=True)
    image = Image.new("RGB", (32, 32), "red")
    assert with_image(image, "a red ring", **arguments).frames.shape == (1, 5, 32, 32, 3)
