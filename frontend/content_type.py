"""What kind of body a request declares."""

from email.message import Message

from fastapi import Request

from frontend.errors import UnsupportedMediaType
from protocol.printable import quoted

_LONGEST = 100
"""characters of a header that an error repeats"""
MULTIPART = "multipart/form-data"


async def require_json(request: Request) -> None:
    """A dependency of the routes that read JSON. Raises UnsupportedMediaType."""
    if not is_json(request):
        raise unsupported(request, "application/json")


def is_json(request: Request) -> bool:
    main, _, sub = _declared(request).partition("/")
    return main == "application" and (sub == "json" or sub.endswith("+json"))


def is_multipart(request: Request) -> bool:
    return _declared(request) == MULTIPART


def unsupported(request: Request, allowed: str) -> UnsupportedMediaType:
    given = request.headers.get("Content-Type", "")
    said = quoted(given, _LONGEST) if given else "none"
    return UnsupportedMediaType(f"the Content-Type must be {allowed}, got {said}")


def _declared(request: Request) -> str:
    """Type and subtype, in lower case; "text/plain" where the header cannot be read."""
    header = Message()
    header["Content-Type"] = request.headers.get("Content-Type", "")
    return header.get_content_type()
