"""What a client is told where a prompt does not do what it says."""

from pipelines.tokenizer import Fit
from protocol.model_card import ModelCard
from protocol.printable import printable

_LAST_CHARACTERS = 40
"""of what was kept: enough to find the place"""


def cut_off(field: str, fit: Fit, card: ModelCard) -> tuple[str, ...]:
    """A sentence where the text of `field` has more tokens than the model reads."""
    if fit.tokens <= card.max_sequence_length:
        return ()
    limit = f"{card.max_sequence_length:,} that {card.id} reads"
    return (f"{field}: cut off after {_end(fit.kept)}, as its {fit.tokens:,} tokens are more than the {limit}",)


def without_effect(negative_prompt: str, card: ModelCard, why: str) -> tuple[str, ...]:
    """A sentence where a negative prompt that the client wrote steers nothing, or less than it could."""
    return (f"negative_prompt has no effect {why}",) if is_own(negative_prompt, card) else ()


def is_own(negative_prompt: str, card: ModelCard) -> bool:
    """Whether it says something, and something else than the model's own."""
    return bool(negative_prompt.strip()) and negative_prompt != card.defaults.negative_prompt


def _end(kept: str) -> str:
    """The last words of a text, in quotes."""
    text = " ".join(kept.split())
    if len(text) <= _LAST_CHARACTERS:
        return f'"{printable(text)}"'
    _, space, words = text[-_LAST_CHARACTERS:].partition(" ")
    return f'"... {printable(words if space and words else text[-_LAST_CHARACTERS:])}"'
