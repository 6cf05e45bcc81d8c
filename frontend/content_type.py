"""Refuses bodies that are not declared as JSON."""

from email.message import Message

from fastapi import Request

from frontend.errors import UnsupportedMediaType


async def require_json(request: Request) -> None:
    """A dependency of the routes that read JSON. Raises UnsupportedMediaType."""
    given = request.headers.get("Content-Type", "")
    header = Message()
    header["Content-Type"] = given
    subtype = header.get_content_subtype()
    if header.get_content_maintype() != "application" or not (subtype == "json" or subtype.endswith("+json")):
        said = repr(given[:100]) if given else "none"
        raise UnsupportedMediaType(f"the Content-Type must be application/json, got {said}")
