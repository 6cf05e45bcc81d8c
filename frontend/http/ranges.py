"""Parts of a file, as players ask for them (RFC 9110, sections 13 and 14). Safari plays nothing without.

One range is answered with that part. Several at once, or what cannot be read, are answered with the whole file, which
the RFC allows.
"""

import re
from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import Response

from frontend.errors import RangeNotSatisfiable
from frontend.http.errors import error_response

_ONE_RANGE = re.compile(r"bytes=(?:(\d{1,100})-(\d{0,100})|-(\d{1,100}))", re.ASCII)


def file_response(
    request: Request, content: bytes, *, etag: str, media_type: str, headers: Mapping[str, str]
) -> Response:
    """The file, or the part of it that the request asks for; 416 where that begins behind the end, 304 where the client
    has it already.

    Args:
        etag: names the content: another content must have another one.
    """
    quoted = f'"{etag}"'
    headers = {**headers, "Accept-Ranges": "bytes", "ETag": quoted}
    if _names(request.headers.get("If-None-Match", ""), quoted):
        return Response(status_code=304, headers=headers)
    part = None
    if request.headers.get("If-Range", quoted) == quoted:
        part = _part(request.headers.get("Range", ""), len(content))
    if part == range(0):
        response = error_response(RangeNotSatisfiable(f"begins behind the {len(content):,} bytes of the file", "Range"))
        response.headers["Content-Range"] = f"bytes */{len(content)}"
        return response
    if part is None:
        return Response(content, media_type=media_type, headers=headers)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(content)}"
    return Response(content[part.start : part.stop], status_code=206, media_type=media_type, headers=headers)


def _part(header: str, size: int) -> range | None:
    """The bytes that a `Range` header names, `range(0)` if there are none of them; None for all."""
    match = _ONE_RANGE.fullmatch(header.strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, stop = max(0, size - int(suffix)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    return range(start, stop) if start < stop else range(0)


def _names(header: str, quoted: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or quoted in tags
