"""Tiny checkpoints: equal seeds give equal files, and diffusers loads and runs every layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoTokenizer

from export.tiny import LayoutName, build


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_files(tiny_checkpoint: Path, tmp_path: Path) -> None:
    build(tmp_path / "again", LayoutName.TWO_EXPERTS, seed=0)
    assert contents(tmp_path / "again") == contents(tiny_checkpoint)


def test_another_seed_gives_other_weights(tiny_checkpoint: Path, tmp_path: Path) -> None:
    build(tmp_path / "other", LayoutName.TWO_EXPERTS, seed=1)
    ours, others = contents(tiny_checkpoint), contents(tmp_path / "other")
    assert ours.keys() == others.keys()
    assert {name for name in ours if ours[name] != others[name]} == {
        name for name in ours if name.endswith(".safetensors")
    }


@pytest.mark.parametrize("layout", [LayoutName.TWO_EXPERTS, LayoutName.ONE_EXPERT, LayoutName.WIDE])
def test_diffusers_makes_a_video_that_depends_on_the_prompt(layout: LayoutName, tmp_path: Path) -> None:
    build(tmp_path / "tiny", layout)
    pipeline = WanPipeline.from_pretrained(tmp_path / "tiny")
    pipeline.set_progress_bar_config(disable=True)

    def frames(prompt: str) -> NDArray[np.float32]:
        generator = torch.Generator().manual_seed(1)
        output = pipeline(prompt, width=32, height=16, num_frames=5, num_inference_steps=2, generator=generator)
        video: NDArray[np.float32] = output.frames[0]
        return video

    red, blue = frames("a red circle"), frames("a blue square")
    assert red.shape == (5, 16, 32, 3)
    assert red.std() > 0.05
    assert np.abs(red - blue).max() > 0.05
    assert (pipeline.transformer_2 is None) == (layout is LayoutName.ONE_EXPERT)


@pytest.mark.parametrize("layout", [LayoutName.I2V, LayoutName.TI2V])
def test_diffusers_makes_a_video_that_depends_on_the_image(layout: LayoutName, tmp_path: Path) -> None:
    build(tmp_path / "tiny", layout)
    pipeline = WanImageToVideoPipeline.from_pretrained(tmp_path / "tiny")
    pipeline.set_progress_bar_config(disable=True)

    def frames(colour: str) -> NDArray[np.float32]:
        image = Image.new("RGB", (64, 32), colour)
        output = pipeline(
            image, "a cat", width=64, height=32, num_frames=5, num_inference_steps=2, generator=torch.manual_seed(1)
        )
        video: NDArray[np.float32] = output.frames[0]
        return video

    red, blue = frames("red"), frames("blue")
    assert red.shape == (5, 32, 64, 3)
    assert np.abs(red - blue).max() > 0.05


def test_layouts_of_one_seed_share_what_their_families_do(tiny_checkpoint: Path, tmp_path: Path) -> None:
    build(tmp_path / "i2v", LayoutName.I2V, seed=0)
    build(tmp_path / "ti2v", LayoutName.TI2V, seed=0)
    for component, sharing in (("tokenizer", ["i2v", "ti2v"]), ("text_encoder", ["i2v", "ti2v"]), ("vae", ["i2v"])):
        for layout in sharing:
            assert contents(tmp_path / layout / component) == contents(tiny_checkpoint / component)
    assert contents(tmp_path / "ti2v" / "vae") != contents(tiny_checkpoint / "vae")


def test_the_tokenizer_ends_prompts_and_knows_words_and_letters(tiny_checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint / "tokenizer")
    ids = tokenizer("a red zebra").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["▁a", "▁red", "▁", "z", "e", "b", "r", "a", "</s>"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="is not empty"):
        build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
