"""Files that come with the program, as browsers ask for them."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources.abc import Traversable

from fastapi import Request
from fastapi.responses import Response

REVALIDATED = "no-cache"
"""what browsers ask for again each time, with its ETag, as a new release has another"""
KEPT = "public, max-age=31536000, immutable"
"""what never changes under its URL"""
MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""by the ends of their names"""


@dataclass(frozen=True)
class StaticFile:
    """One, read once."""

    content: bytes
    media_type: str

    @classmethod
    def read(cls, file: Traversable) -> "StaticFile":
        return cls(file.read_bytes(), MEDIA_TYPES[file.name.rpartition(".")[2]])

    @cached_property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    def answer(self, request: Request, cache_control: str = REVALIDATED, **headers: str) -> Response:
        """The file; 304 where the browser has it already."""
        headers |= {"ETag": self.etag, "Cache-Control": cache_control}
        known = [one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")]
        if self.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)
