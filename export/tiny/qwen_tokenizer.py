"""A Qwen2 tokenizer of few words: byte-level BPE that knows them and the chat template."""

from collections.abc import Iterable
from itertools import accumulate
from typing import Any

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# The words of QwenImagePipeline's template are tokens, as in Qwen's own vocabulary: the pipeline drops the first 34
# tokens of every prompt, whatever the tokenizer.
_LINE_STARTS = ("system", "Describe", "user", "assistant")
_INSTRUCTION = (
    "the image by detailing color shape size texture quantity text spatial relationships of objects and background"
)


def chat_tokenizer(words: Iterable[str]) -> Any:
    """A `Qwen2Tokenizer` with a token for each word, after a space or first and perhaps capitalised, and every byte."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    ((space, _),) = ByteLevel(use_regex=False, add_prefix_space=False).pre_tokenize_str(" ")
    words = sorted({*words} - {""})
    first = sorted({form for word in words for form in (word, word[0].upper() + word[1:])})
    # Those that follow a space come first: their merges then win wherever both kinds apply.
    merges = _merges([*(space + word for word in (*_INSTRUCTION.split(), *words)), *_LINE_STARTS, *first])
    tokens = dict.fromkeys([*sorted(ByteLevel.alphabet()), *("".join(pair) for pair in merges)])
    return Qwen2Tokenizer(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=merges,
        eos_token="<|im_end|>",
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        model_max_length=2048,
    )


def _merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Merges that put each word together letter by letter, from its first."""
    pairs = ((prefix, letter) for word in words for prefix, letter in zip(accumulate(word), word[1:], strict=False))
    return list(dict.fromkeys(pairs))
