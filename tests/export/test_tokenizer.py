"""The exported tokenizer makes the tokens that transformers' makes."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from export.errors import CheckpointError
from export.tokenizer import fast_tokenizer
from pipelines.tokenizer import Tokenizer
from tests.conftest import ROOT

TEXTS = (
    "a red circle moving right on a black background",
    "",
    " ",
    "Ünïcödé, 漢字, 🙂 and \u200b nothing\n\ttabbed",
    "<|im_start|>system</s> <pad> <extra_id_0>",
    "a very long prompt " * 40,
)


@pytest.fixture(params=["t5", "qwen", "qwen without tokenizer.json"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    model = "toy-wan-t2v" if request.param == "t5" else "toy-qwen-image"
    folder = Path(shutil.copytree(ROOT / "toy" / "checkpoints" / model / "tokenizer", tmp_path / "tokenizer"))
    if request.param.endswith("without tokenizer.json"):  # as Qwen's own comes
        fast = json.loads((folder / "tokenizer.json").read_text())["model"]
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in fast["merges"]]
        (folder / "vocab.json").write_text(json.dumps(fast["vocab"]))
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
        (folder / "tokenizer.json").unlink()
    return folder


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_those_of_transformers(folder: Path, text: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(fast_tokenizer(folder))
    exported, reference = Tokenizer(tmp_path / "tokenizer.json"), AutoTokenizer.from_pretrained(folder)
    for max_length in (512, 12):
        expected = reference([text], truncation=True, max_length=max_length)["input_ids"]
        assert exported.encode(text, max_length).tolist() == expected


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_what_cannot_be_read_is_refused_with_its_folder(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=f"{tmp_path} holds"):
        fast_tokenizer(tmp_path)
