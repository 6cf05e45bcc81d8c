"""A T5 tokenizer that knows a few words, and every printable ASCII character."""

import string
from typing import Any

_WORDS = "a an the red green blue circle square triangle cat dog moves walks left right up down on in grass sun"


def t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    characters = sorted(set(string.printable) - set(string.whitespace))
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -4.0)]
    vocabulary += [(f"▁{word}", -3.0 - 0.01 * rank) for rank, word in enumerate(_WORDS.split())]
    vocabulary += [(character, -8.0) for character in characters]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=512)
