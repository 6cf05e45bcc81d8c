"""Sentences for what a schema rejects: `n must be at most 10, got 11`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from protocol.printable import LONGEST, printable

# pydantic's error types, and what each says with the error's own context. {ge} and the like come from the bound.
_SENTENCES = {
    "missing": "is required",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "tuple_type": "must be an object, or an array of them",
    "too_long": "must have at most {max_length} entries",
    "extra_forbidden": "is not a known field",
    "value_error": "{error}",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be greater than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must not be blank",  # the prompt's is the only pattern
    "literal_error": "must be {expected}",
}
_LONGEST_VALUE = 40
"""characters of the client's value that a message repeats at most"""
_MOST_NAMED = 20
"""errors that a message tells"""


def field_of(error: Mapping[str, Any]) -> str | None:
    """The dotted name of the field, of the body or the query, that pydantic's `error` is about; None for the body as a
    whole."""
    where = error["loc"]
    return ".".join(map(str, where[1:] if where[:1] in (("body",), ("query",)) else where)) or None


def message_of(errors: Sequence[Mapping[str, Any]]) -> str:
    """A sentence for each of pydantic's `errors`, or for the first of them and how many more there are."""
    sentences = [sentence_of(error) for error in errors[:_MOST_NAMED]]
    rest = len(errors) - _MOST_NAMED
    return "; ".join([*sentences, f"and {rest:,} more"] if rest > 0 else sentences)


def sentence_of(error: Mapping[str, Any]) -> str:
    """What pydantic's `error` means to the person who wrote the request, field first."""
    template = _SENTENCES.get(error["type"])
    context = {
        name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in error.get("ctx", {}).items()
    }
    rule = template.format(**context) if template else error["msg"]
    return f"{printable(field_of(error) or 'The body', LONGEST)} {rule}{_got(error.get('input'))}"


def _got(value: object) -> str:
    """What the client sent, where it is short."""
    if not isinstance(value, int | float | str) or (isinstance(value, str) and len(value) > _LONGEST_VALUE):
        return ""
    written = json.dumps(value)
    return f", got {written}" if len(written) <= _LONGEST_VALUE else ""


def code_of(error: Mapping[str, Any]) -> str:
    """OpenAI's code for pydantic's `error`."""
    kind: str = error["type"]
    if kind == "missing":
        return "missing_required_parameter"
    return "invalid_type" if kind.endswith("_type") or kind == "int_from_float" else "invalid_value"
