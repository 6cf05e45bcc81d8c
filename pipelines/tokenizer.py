"""Words into the integers that a text encoder takes."""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer as FastTokenizer

TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class Fit:
    """How much of a text is encoded."""

    tokens: int
    """of the whole text, with the special ones around it"""
    kept: str
    """the part of the text that `Tokenizer.encode` encodes"""


class Tokenizer:
    """A checkpoint's tokenizer, without transformers, whose import takes longer than all else that `generate` needs.

    Args:
        file: `tokenizer.json`, as `export` writes it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not what it should be.
    """

    def __init__(self, file: Path) -> None:
        content = file.read_bytes()
        try:
            self._tokenizer = FastTokenizer.from_buffer(content)
        except Exception as error:  # tokenizers has no class of its own for it
            raise ValueError(f"{file} is not a tokenizer: {error}") from error

    def encode(self, text: str, max_length: int) -> torch.Tensor:
        """The tokens of one text with the special ones around it, of which the text's last are cut off when there are
        more than `max_length`.

        Returns:
            int64 [1, tokens].
        """
        self._tokenizer.enable_truncation(max_length)
        return torch.tensor([self._tokenizer.encode(text).ids])

    def fit(self, text: str, max_length: int) -> Fit:
        """How many tokens the text has, and what of it `encode` keeps."""
        self._tokenizer.no_truncation()
        tokens = len(self._tokenizer.encode(text).ids)
        if tokens <= max_length:
            return Fit(tokens, text)
        self._tokenizer.enable_truncation(max_length)
        return Fit(tokens, text[: max(end for _, end in self._tokenizer.encode(text).offsets)])
