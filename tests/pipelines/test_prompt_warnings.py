"""What a model does not read of a prompt, or does not heed, is said; it reads what diffusers' pipelines read."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from export.tokenizer import fast_tokenizer
from pipelines.condition_cache import ConditionCache
from pipelines.families import FAMILIES, Pipeline
from pipelines.lora.adapters import Adapters
from pipelines.lora.folder import LoraFolder
from pipelines.prompt_warnings import cut_off
from pipelines.runner import Chunk, Inputs
from pipelines.text_encoder import prompt_clean
from pipelines.tokenizer import TOKENIZER_FILE, Fit
from protocol.model_card import ModelCard, RotaryEmbedding
from protocol.resolve import parse, resolve
from tests.conftest import ROOT
from tests.model_cards import image_to_video_card, model_card, text_or_image_to_video_card, text_to_image_card

CHECKPOINTS = ROOT / "toy" / "checkpoints"
QWEN = text_to_image_card().model_copy(update={"rope": RotaryEmbedding(theta=10000, axes_dims=(8, 12, 12))})
"""as every card here, of a model that reads 8 tokens"""
WAN = [model_card(), model_card(experts=1), text_or_image_to_video_card()]
END = 1
"""of a text for UMT5"""


class Encoder:
    """Answers with a row of each token's own number, and remembers the tokens."""

    def __init__(self) -> None:
        self.read: list[list[int]] = []

    async def infer(self, model: str, inputs: Inputs, output: str, chunk: Chunk | None = None) -> torch.Tensor:
        ids = inputs["input_ids"]
        assert isinstance(ids, torch.Tensor)
        self.read += ids.tolist()
        return ids.float()[:, :, None]


def checkpoint_of(card: ModelCard) -> Path:
    return CHECKPOINTS / ("toy-qwen-image" if card.family == "qwen_image" else "toy-wan-t2v")


def pipeline_of(card: ModelCard, folder: Path, encoder: Encoder) -> Pipeline[Any]:
    """The sampling code of `card`, with the tokenizer of a checkpoint of its family."""
    checkpoint = checkpoint_of(card)
    card.write(folder)
    (folder / TOKENIZER_FILE).write_text(fast_tokenizer(checkpoint / "tokenizer"))
    shutil.copytree(checkpoint / "scheduler", folder / "scheduler")

    async def evaluate(model: str, rows: Any, shared: Any = None) -> torch.Tensor:
        raise NotImplementedError

    adapters = Adapters.of(folder, LoraFolder(None))
    return FAMILIES[card.family](folder, encoder, evaluate, adapters, ConditionCache(0), torch.device("cpu"))


async def warnings_of(card: ModelCard, folder: Path, **fields: Any) -> tuple[str, ...]:
    pipeline = pipeline_of(card, folder, Encoder())
    params = resolve(parse({"prompt": "a red circle", **fields}), card)
    return (await pipeline.encode_text(params)).warnings


@pytest.mark.parametrize("card", [*WAN, QWEN], ids=lambda card: card.id)
@pytest.mark.parametrize("words", [0, 1])
async def test_one_word_more_than_fits_is_said(card: ModelCard, words: int, tmp_path: Path) -> None:
    """Each word is a token; the end of a text for Wan is one too, and Qwen-Image's template counts for nothing."""
    own = card.max_sequence_length - (END if card.family != "qwen_image" else 0)
    prompt = " ".join([*["red"] * (own - 1), "circle", *["moving"] * words])
    warnings = await warnings_of(card, tmp_path, prompt=prompt)
    told = f'prompt: cut off after "{prompt.removesuffix(" moving")}", as its 9 tokens are more than the 8 that'
    assert warnings == ((f"{told} {card.id} reads",) if words else ())


@pytest.mark.parametrize("card", [model_card(), QWEN], ids=lambda card: card.id)
@pytest.mark.parametrize(
    "prompt",
    [
        "a red circle moving right on a black background " * 30,
        "红色 圆形 " * 40,
        "🦊 " * 90,
        "x" * 3000,
        " \n red" * 50,
    ],
    ids=["words", "Chinese", "emoji", "one word", "blanks"],
)
async def test_what_is_said_to_be_read_is_what_diffusers_reads(card: ModelCard, prompt: str, tmp_path: Path) -> None:
    encoder = Encoder()
    pipeline = pipeline_of(card, tmp_path, encoder)
    params = resolve(parse({"prompt": prompt, "negative_prompt": prompt}), card)
    text = await pipeline.encode_text(params)

    tokenizer = AutoTokenizer.from_pretrained(checkpoint_of(card) / "tokenizer")
    limit = card.max_sequence_length
    if card.family == "qwen_image":
        whole = tokenizer(prompt).input_ids
        before = len(encoder.read[0]) - limit
        expected = tokenizer(tokenizer.decode(encoder.read[0][:before]) + prompt).input_ids[: before + limit]
    else:
        whole = tokenizer(prompt_clean(prompt)).input_ids
        expected = tokenizer(prompt_clean(prompt), truncation=True, max_length=limit).input_ids
    assert encoder.read == [expected, expected]
    assert text.prompt.shape[1] == limit
    for field, said in zip(("prompt", "negative_prompt"), text.warnings, strict=True):
        assert said.startswith(f"{field}: cut off after ")
        assert f"its {len(whole):,} tokens are more than the {limit} that {card.id} reads" in said
        assert said.isprintable()
        assert len(said) < 200


@pytest.mark.parametrize("card", [*WAN, image_to_video_card()], ids=["two experts", "one", "ti2v", "i2v"])
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0])
async def test_without_guidance_a_negative_prompt_has_no_effect(card: ModelCard, scale: float, tmp_path: Path) -> None:
    if card.needs_image:
        card = card.model_copy(update={"tasks": ("text-to-video", "image-to-video")})
    (said,) = await warnings_of(card, tmp_path, negative_prompt="blurry", guidance_scale=scale)
    assert said == f"negative_prompt has no effect as guidance_scale is {scale:g}, and guides above 1"


async def test_the_first_guidance_decides_for_both_experts(tmp_path: Path) -> None:
    fields = {"negative_prompt": "blurry", "guidance_scale": 1.0, "guidance_scale_2": 5.0}
    (said,) = await warnings_of(model_card(), tmp_path, **fields)
    assert "as guidance_scale is 1" in said


@pytest.mark.parametrize(("second", "heeds"), [(1.0, False), (0.5, True), (1.01, True)])
async def test_the_low_noise_expert_may_heed_none(second: float, heeds: bool, tmp_path: Path) -> None:
    fields = {"negative_prompt": "blurry", "guidance_scale": 4.0, "guidance_scale_2": second}
    said = ("negative_prompt has no effect on the low-noise expert, as guidance_scale_2 is 1",)
    assert await warnings_of(model_card(), tmp_path, **fields) == (() if heeds else said)


@pytest.mark.parametrize("scale", [0.0, 1.0])
async def test_an_image_too(scale: float, tmp_path: Path) -> None:
    (said,) = await warnings_of(QWEN, tmp_path, negative_prompt="blurry", true_cfg_scale=scale)
    assert said == f"negative_prompt has no effect as true_cfg_scale is {scale:g}, and guides above 1"


@pytest.mark.parametrize("negative", ["", "  ", None, "the model's own"])
@pytest.mark.parametrize("card", [model_card(), QWEN], ids=lambda card: card.id)
async def test_what_nobody_wrote_is_not_missed(card: ModelCard, negative: str | None, tmp_path: Path) -> None:
    """Clients send empty fields; and a model's own negative prompt, however long, is its operator's business."""
    own = "ugly " * 50
    card = card.model_copy(update={"defaults": card.defaults.model_copy(update={"negative_prompt": own})})
    given = own if negative == "the model's own" else negative
    for scale in (1.0, 4.0):
        name = "true_cfg_scale" if card.family == "qwen_image" else "guidance_scale"
        folder = tmp_path / str(scale)
        folder.mkdir()
        assert await warnings_of(card, folder, negative_prompt=given, **{name: scale}) == ()


def test_the_last_words_that_are_read_are_shown_shortly() -> None:
    def shown(kept: str) -> str:
        (said,) = cut_off("prompt", Fit(9, kept), model_card())
        return said.removeprefix("prompt: cut off after ").rpartition(", as its")[0]

    assert shown("a red\n  circle") == '"a red circle"'
    assert shown("word " * 30 + "the very last ones") == '"... word word word word the very last ones"'
    assert shown("字" * 100) == f'"... {"字" * 40}"'
    assert shown("x\x1b[2J\u202e") == r'"x\x1b[2J\u202e"'
