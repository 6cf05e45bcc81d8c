"""Parts of a file, as players ask for them (RFC 9110, sections 13 and 14). Safari plays nothing without.

One range is answered with that part. Several at once, or what cannot be read, are answered with the whole file, which
the RFC allows.
"""

import re
from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from frontend.errors import RangeNotSatisfiable
from frontend.http.errors import error_response
from frontend.http.head import is_head
from frontend.storage.storage import Storage, StoredFile

_ONE_RANGE = re.compile(r"bytes=(?:(\d{1,100})-(\d{0,100})|-(\d{1,100}))", re.ASCII)


async def file_response(request: Request, file: StoredFile, storage: Storage, headers: Mapping[str, str]) -> Response:
    """The file, or the part of it that the request asks for; 416 where that begins behind the end, 304 where the client
    has it already. It is read from `storage` while it is sent.

    Raises:
        StorageError: see `Storage.read`.
    """
    quoted = f'"{file.sha256}"'
    headers = {**headers, "Accept-Ranges": "bytes", "ETag": quoted}
    if _names(request.headers.get("If-None-Match", ""), quoted):
        return Response(status_code=304, headers=headers)
    part = None
    if request.headers.get("If-Range", quoted) == quoted:
        part = _part(request.headers.get("Range", ""), file.size)
    if part == range(0):
        response = error_response(RangeNotSatisfiable(f"begins behind the {file.size:,} bytes of the file", "Range"))
        response.headers["Content-Range"] = f"bytes */{file.size}"
        return response
    if part is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{file.size}"
    headers["Content-Length"] = str(file.size if part is None else len(part))
    status = 200 if part is None else 206
    if is_head(request.scope):
        return Response(status_code=status, media_type=file.media_type, headers=headers)
    return StreamingResponse(await storage.read(file, part), status, headers, file.media_type)


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
