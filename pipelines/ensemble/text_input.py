"""Text that comes over gRPC, from whoever can reach `generate`: bounded before it is read."""

from typing import Any

from pydantic_core import from_json

from protocol.errors import InvalidRequest

MAX_BYTES = 64 * 1024
"""of one input: a prompt of 8,000 characters has at most 32,000, and eight pairs of adapters in JSON at most 49,000"""


def read_text(value: bytes, name: str) -> str:
    """The text of the input `name`. Raises InvalidRequest where it is too long, or not UTF-8."""
    if len(value) > MAX_BYTES:
        raise InvalidRequest(f"must have at most {MAX_BYTES:,} bytes", name)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("must be UTF-8", name) from None


def read_json(value: bytes, name: str) -> Any:
    """The value of JSON in the input `name`. Raises InvalidRequest as `read_text`, and where it is not JSON."""
    text = read_text(value, name)
    try:
        return from_json(text)
    except ValueError:
        raise InvalidRequest("must be JSON", name) from None
