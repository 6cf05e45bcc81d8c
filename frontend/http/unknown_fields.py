"""Fields of a request that nobody knows: refused, or named in the response's `warnings`."""

from frontend.errors import UnknownFields
from frontend.schemas.fields import Fields
from protocol.printable import printable

_MOST_NAMED = 20
_LONGEST_NAME = 100
"""characters of a name that are repeated"""


def refuse_unknown(request: Fields) -> None:
    """Raises UnknownFields naming them, if there are any."""
    if unknown := _named(request.unknown_fields()):
        others = f", nor are {', '.join(unknown[1:])}" if unknown[1:] else ""
        raise UnknownFields(f"is not a field that this server knows{others}", unknown[0])


def warnings_of(request: Fields) -> list[str]:
    """A sentence for each of them."""
    return [f"unknown field '{name}' has no effect" for name in _named(request.unknown_fields())]


def _named(unknown: list[str]) -> list[str]:
    """Names fit for a message: few, short and printable, whatever the client sent."""
    names = [printable(name, _LONGEST_NAME) for name in unknown[:_MOST_NAMED]]
    rest = len(unknown) - _MOST_NAMED
    return [*names, f"... and {rest} more"] if rest > 0 else names
