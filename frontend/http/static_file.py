"""Files that come with the program, as browsers ask for them."""

import hashlib
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from fastapi import Request
from fastapi.responses import Response

_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class StaticFile:
    """One, read once."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, file: Traversable) -> "StaticFile":
        content = file.read_bytes()
        media_type = _MEDIA_TYPES[file.name.rpartition(".")[2]]
        return cls(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    def answer(self, request: Request) -> Response:
        """The file; 304 where the browser has it already. It asks again each time, as a new release has another."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        known = [one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")]
        if self.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)
