"""What tells a request for a job from others, as it is kept with the job."""

import hashlib
import json
from dataclasses import dataclass

from fastapi import Request
from pydantic import BaseModel

from frontend.http.authentication import KEY_NAME


@dataclass(frozen=True)
class RequestIdentity:
    """Who asks for what."""

    owner: str | None
    """name of the request's API key, where it has one"""
    request_hash: str
    """SHA-256, equal where one owner asks one route for the same"""


def identity_of(request: Request, body: BaseModel, upload: bytes | None = None) -> RequestIdentity:
    """Of a request whose body was read: `body`, and the file that came with it."""
    owner: str | None = request.scope.get(KEY_NAME)
    text = json.dumps([owner, request.url.path, body.model_dump()], default=str)  # ASCII, whatever a client sent
    return RequestIdentity(owner, hashlib.sha256(text.encode() + b"\0" + (upload or b"")).hexdigest())
