"""The tiny Qwen-Image checkpoint: equal seeds give equal files, and diffusers loads and runs it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import QwenImagePipeline
from numpy.typing import NDArray
from transformers import AutoTokenizer, Qwen2Tokenizer

from export.tiny import LayoutName, build


@pytest.fixture(scope="module")
def pipeline(qwen_checkpoint: Path) -> QwenImagePipeline:
    pipeline = QwenImagePipeline.from_pretrained(qwen_checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def image(pipeline: QwenImagePipeline, prompt: str, negative_prompt: str = " ") -> NDArray[np.float32]:
    image: NDArray[np.float32] = pipeline(
        prompt,
        negative_prompt,
        width=64,
        height=48,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(1),
        output_type="np",
    ).images[0]
    return image


@pytest.mark.parametrize(("seed", "same"), [(0, True), (1, False)])
def test_the_seed_decides_the_weights(seed: int, same: bool, qwen_checkpoint: Path, tmp_path: Path) -> None:
    build(tmp_path / "again", LayoutName.QWEN_IMAGE, seed=seed)
    for path in qwen_checkpoint.rglob("*.*"):
        again = tmp_path / "again" / path.relative_to(qwen_checkpoint)
        assert (again.read_bytes() == path.read_bytes()) == (same or path.suffix != ".safetensors"), path


def test_diffusers_makes_an_image_that_depends_on_both_prompts(pipeline: QwenImagePipeline) -> None:
    red = image(pipeline, "a red circle")
    assert red.shape == (48, 64, 3)
    assert red.std() > 0.05
    assert np.abs(red - image(pipeline, "a blue square")).max() > 0.02
    assert np.abs(red - image(pipeline, "a red circle", "green")).max() > 0.02


def test_the_tokenizer_makes_34_tokens_of_the_template_s_beginning(
    pipeline: QwenImagePipeline, qwen_checkpoint: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(qwen_checkpoint / "tokenizer")
    assert isinstance(tokenizer, Qwen2Tokenizer)
    tokens = tokenizer.tokenize(pipeline.prompt_template_encode.format("a red zebra"))
    assert tokens[:2] == ["<|im_start|>", "system"]
    dropped = pipeline.prompt_template_encode_start_idx
    assert tokens[dropped:] == [
        *("a", "Ġred", "Ġ", "z", "e", "b", "r", "a"),
        *("<|im_end|>", "Ċ", "<|im_start|>", "assistant", "Ċ"),
    ]


def test_every_character_survives_the_tokenizer(qwen_checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(qwen_checkpoint / "tokenizer")
    text = "Ein rötlicher Kater, 紅色的貓 🐈\n"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
