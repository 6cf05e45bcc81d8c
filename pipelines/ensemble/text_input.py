"""Text that comes over gRPC, from whoever can reach `generate`: bounded before it is read."""

from typing import Any

from pydantic_core import from_json

from protocol.errors import InvalidRequest

MAX_BYTES = 64 * 1024
"""of a text: a prompt of 8,000 characters has at most 32,000"""
MAX_JSON_BYTES = 256 * 1024
"""of the sampling parameters: where characters are escaped, a negative prompt of 8,000 has at most 96,000, and eight
pairs of adapters have 49,000"""


def read_text(value: bytes, name: str, max_bytes: int = MAX_BYTES) -> str:
    """The text of the input `name`. Raises InvalidRequest where it is too long, or not UTF-8."""
    if len(value) > max_bytes:
        raise InvalidRequest(f"must have at most {max_bytes:,} bytes", name)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("must be UTF-8", name) from None


def read_object(value: bytes, name: str) -> dict[str, Any]:
    """The JSON object in the input `name`. Raises InvalidRequest as `read_text`, and where it is none."""
    text = read_text(value, name, MAX_JSON_BYTES)
    try:
        content = from_json(text)
    except ValueError:
        raise InvalidRequest("must be JSON", name) from None
    if not isinstance(content, dict):
        raise InvalidRequest("must be a JSON object", name)
    return content
