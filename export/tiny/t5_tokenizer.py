"""A T5 tokenizer of few words: each of them is one token, everything else is spelled."""

import string
from collections.abc import Iterable
from typing import Any

_PAD, _END, _UNKNOWN = "<pad>", "</s>", "<unk>"
_SPACE = "▁"
# Scores are log-probabilities; Unigram takes the segmentation with the greatest sum. A word beats its letters however
# short it is.
_WORD, _LONE_SPACE, _CHARACTER = -4.0, -6.0, -8.0


def word_tokenizer(words: Iterable[str]) -> Any:
    """A `T5Tokenizer` (Unigram) with a token for each word, also when capitalised, and each printable ASCII character.

    Made by hand: a Unigram trainer spells rare words in letters. transformers rebuilds a T5 tokenizer from its
    vocabulary alone and drops normalizers, hence the capitalised forms.
    """
    from transformers import T5Tokenizer

    forms = sorted({form for word in words for form in (word, word[:1].upper() + word[1:]) if form})
    characters = sorted(set(string.printable) - set(string.whitespace))
    vocabulary = [(_PAD, 0.0), (_END, 0.0), (_UNKNOWN, -20.0), (_SPACE, _LONE_SPACE)]
    vocabulary += [(_SPACE + form, _WORD) for form in forms]
    vocabulary += [(character, _CHARACTER) for character in characters]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=512)
