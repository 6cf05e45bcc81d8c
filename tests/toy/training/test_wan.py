"""A Wan stage learns, from captions and from first frames, and hands on a checkpoint that diffusers runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan, DiffusionPipeline, WanImageToVideoPipeline
from PIL import Image
from torch import Tensor

from export.tiny.t5_tokenizer import word_tokenizer
from toy.training.assemble import for_inference, image_to_video, save_checkpoint, text_to_video
from toy.training.checkpoint import load_text_to_video
from toy.training.denoiser import Denoiser
from toy.training.flow import ALL_NOISE
from toy.training.latents import Batch, LatentCache
from toy.training.stage import Plan
from toy.training.text import umt5_encoder
from toy.training.transformer import wan_transformer, with_image_input
from toy.training.wan import flow_stage, is_block_matrix, token_flow_stage, with_first_frame
from toy.world.captions import VOCABULARY
from toy.world.scene import sample_scene

PLAN = Plan("few", steps=8, learning_rate=5e-3, warm_up=2)


class OneBatch(LatentCache):
    """Always the same videos."""

    def __init__(self, condition: bool) -> None:
        latents = torch.randn(4, 16, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.1
        scenes = [sample_scene(np.random.default_rng(0))] * 4
        self._batch = Batch(latents + 1, scenes, latents if condition else None)

    def batch(self, rng: np.random.Generator) -> Batch:
        return self._batch


def denoiser() -> Denoiser:
    torch.manual_seed(0)
    tokenizer = word_tokenizer(VOCABULARY)
    return Denoiser(wan_transformer(64), umt5_encoder(len(tokenizer)), tokenizer)


def error(model: Denoiser, inputs: Tensor, velocity: Tensor) -> float:
    with torch.no_grad():
        predicted = model(inputs, torch.full((4,), 0.9), ["a red ring"] * 4, torch.full((4,), 64))
    return float((predicted - velocity).square().mean())


@pytest.mark.parametrize("condition", [False, True])
def test_a_stage_learns(tmp_path: Path, condition: bool) -> None:
    model, videos = denoiser(), OneBatch(condition)
    if condition:
        model = Denoiser(with_image_input(model.transformer), model.text_encoder, model.tokenizer)
    clean = videos.batch(np.random.default_rng(0)).latents
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    noisy = 0.1 * clean + 0.9 * noise
    inputs = with_first_frame(noisy, clean - 1) if condition else noisy
    before = error(model, inputs, noise - clean)
    assert flow_stage(PLAN, model, videos, ALL_NOISE, folder=tmp_path).run()
    assert error(model, inputs, noise - clean) < 0.7 * before


def test_a_given_first_frame_has_no_noise_and_no_loss(tmp_path: Path) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    class Spy(Denoiser):
        def forward(self, latents: Tensor, sigmas: Tensor, *rest: Any) -> Tensor:
            seen.append((latents, sigmas))
            return super().forward(latents, sigmas, *rest)

    start, videos = denoiser(), OneBatch(condition=False)
    model = Spy(start.transformer, start.text_encoder, start.tokenizer)
    assert token_flow_stage(PLAN, model, videos, folder=tmp_path).run()
    clean = videos.batch(np.random.default_rng(0)).latents
    given = 0
    for latents, sigmas in seen:
        assert sigmas.shape == (4, 3 * 2 * 2)  # in tokens: frames, then rows and columns of two latents each
        for video, levels, truth in zip(latents, sigmas, clean, strict=True):
            assert (levels[4:] > 0).all()
            assert torch.equal(video[:, 0], truth[:, 0]) == bool((levels[:4] == 0).all())
            given += int(levels[0] == 0)
    assert 0.2 < given / (4 * len(seen)) < 0.8


def test_the_widened_transformer_begins_as_it_was() -> None:
    model = denoiser()
    torch.nn.init.normal_(model.transformer.proj_out.weight, std=0.1)
    wide = Denoiser(with_image_input(model.transformer), model.text_encoder, model.tokenizer)
    noisy = torch.randn(4, 16, 3, 4, 4)
    arguments = torch.full((4,), 0.5), ["a red ring"] * 4, torch.full((4,), 64)
    with torch.no_grad():
        expected = model(noisy, *arguments)
        given = wide(with_first_frame(noisy, torch.randn(4, 16, 3, 4, 4)), *arguments)
    torch.testing.assert_close(given, expected)


def test_only_block_matrices_go_to_muon() -> None:
    chosen = {name for name, parameter in denoiser().named_parameters() if is_block_matrix(name, parameter)}
    assert "transformer.blocks.0.attn1.to_q.weight" in chosen
    assert not any("text_encoder" in name or "embed" in name or "bias" in name or "proj_out" in name for name in chosen)
    assert len(chosen) == 6 * 10


def test_diffusers_runs_the_checkpoint(tmp_path: Path) -> None:
    model = denoiser()
    vae = AutoencoderKLWan(base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    transformers = for_inference(model.transformer), for_inference(model.transformer)
    pipeline = text_to_video(vae, model.text_encoder, model.tokenizer, transformers, shift=3.0)
    save_checkpoint(pipeline, tmp_path, {"id": "toy"})

    loaded = DiffusionPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    frames = loaded("a red ring", width=32, height=32, num_frames=5, num_inference_steps=2, output_type="np").frames
    assert frames.shape == (1, 5, 32, 32, 3)
    assert json.loads((tmp_path / "defaults.json").read_text()) == {"id": "toy"}
    assert json.loads((tmp_path / "model_index.json").read_text())["boundary_ratio"] == 0.875
    again = load_text_to_video(tmp_path, "transformer_2")
    assert again.text_encoder.dtype == torch.float32


def test_diffusers_runs_the_checkpoint_with_a_first_frame(tmp_path: Path) -> None:
    model = denoiser()
    vae = AutoencoderKLWan(base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    wide = for_inference(with_image_input(model.transformer))
    pipeline = image_to_video(vae, model.text_encoder, model.tokenizer, (wide, wide), shift=3.0)
    save_checkpoint(pipeline, tmp_path, {"id": "toy"})
    loaded = WanImageToVideoPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    image = Image.new("RGB", (32, 32), "red")
    frames = loaded(
        image, "a red ring", width=32, height=32, num_frames=5, num_inference_steps=2, output_type="np"
    ).frames
    assert frames.shape == (1, 5, 32, 32, 3)
