"""From the fields of a request to the jobs that it asks for; the same for clips and for pictures."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from frontend.schemas.fields import Fields, parse_size
from protocol.errors import InvalidRequest
from protocol.model_card import ModelCard
from protocol.resolve import parse, resolve
from protocol.sampling import MAX_SEED, AnySpec


@dataclass(frozen=True)
class Options:
    """The sampling fields that a request gives, wherever it gives them."""

    values: dict[str, Any] = field(default_factory=dict)
    """by the name that the field has at the top level"""
    sources: dict[str, str] = field(default_factory=dict)
    """what the client called each: `size` for a width that came from it, `extra_body.solver`, ..."""

    def fill(self, group: Fields, names: Iterable[str], prefix: str = "") -> None:
        """Take from `group`, which the client calls `prefix`, those of the fields `names` that are absent yet."""
        for name, value in group.given(names).items():
            self.set_default(name, value, prefix + name)

    def fill_size(self, size: str) -> None:
        """Take width and height from `WIDTHxHEIGHT`, where they are absent yet."""
        for side, pixels in zip(("width", "height"), parse_size(size), strict=True):
            self.set_default(side, pixels, "size")

    def set_default(self, name: str, value: object, source: str) -> None:
        if name not in self.values:
            self.values[name] = value
            self.sources[name] = source

    def in_clients_words(self, error: InvalidRequest) -> InvalidRequest:
        """The same error, naming the field that the client sent."""
        return InvalidRequest(error.message, self.sources.get(error.field or "", error.field))


def plan_jobs(options: Options, card: ModelCard, n: int) -> tuple[AnySpec, ...]:
    """What `n` jobs make; they differ in their seeds only, which count up.

    Raises:
        InvalidRequest: naming the field, as the client calls it, and what is allowed.
    """
    try:
        first = resolve(parse(options.values), card)
        if first.seed + n - 1 > MAX_SEED:
            raise InvalidRequest(f"seed + n - 1 must be at most {MAX_SEED}", "seed")
    except InvalidRequest as error:
        raise options.in_clients_words(error) from None
    return tuple(first.model_copy(update={"seed": first.seed + i}) for i in range(n))
