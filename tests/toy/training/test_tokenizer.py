"""Every word of the captions is one token, and what else people write is spelled."""

from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

from export.tiny.t5_tokenizer import word_tokenizer
from toy.world.captions import VOCABULARY, caption, held_out_caption, still_caption
from toy.world.scene import sample_scene


def test_a_word_is_a_token_capitalised_or_not() -> None:
    tokenizer = word_tokenizer(["red", "a", "circle"])
    assert tokenizer.tokenize("A red circle.") == ["▁A", "▁red", "▁circle", "."]
    assert tokenizer("red").input_ids == [tokenizer.convert_tokens_to_ids("▁red"), tokenizer.eos_token_id]


def test_other_words_are_spelled() -> None:
    tokenizer = word_tokenizer(["red"])
    assert tokenizer.tokenize("redder zebra") == ["▁red", *"der", "▁", *"zebra"]
    assert tokenizer.unk_token_id not in tokenizer("A #1 (zebra)?").input_ids


def test_captions_are_short_and_known() -> None:
    tokenizer = word_tokenizer(VOCABULARY)
    rng = np.random.default_rng(0)
    for _ in range(200):
        scene = sample_scene(rng)
        for text in (caption(scene, rng), still_caption(scene, rng), held_out_caption(scene, rng, "wording")):
            tokens = tokenizer.tokenize(text)
            # words and punctuation, nothing spelled
            assert len(tokens) == len(text.replace(",", " ,").replace(".", " .").split()), text
            assert tokenizer.unk_token not in tokens


def test_saved_tokenizer_loads_the_same(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(VOCABULARY)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "A red ring, travelling left, against a grey background. Zebra!"
    assert loaded(text).input_ids == tokenizer(text).input_ids
