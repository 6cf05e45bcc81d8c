"""What tells a request for a job from others, as it is kept with the job."""

import hashlib
import json
import re
import time
from dataclasses import dataclass, field

from fastapi import Request
from pydantic import BaseModel

from frontend.http.authentication import IS_ADMIN, KEY_NAME
from protocol.errors import InvalidRequest

IDEMPOTENCY_KEY = "Idempotency-Key"
_KEY = re.compile(r"[ -~]{1,255}")
_RETRY_COUNT = "X-Stainless-Retry-Count"
_READ_TIMEOUT = "X-Stainless-Read-Timeout"
"""headers of `openai`'s Python SDK: how often it has sent the request before, and seconds after which it gives up"""
_NODE_TIMEOUT = "X-Stainless-Timeout"
"""the same of its Node SDK"""
_GRACE_SECONDS = 10.0
"""the SDKs try again within 8 s"""
_TIMED_OUT = 0.9
_SENDING_SECONDS = 1.0
"""a client that leaves after so much of its time, less what its request was on its way, has not changed its mind"""


@dataclass(frozen=True)
class RequestIdentity:
    """Who asks for what, and whether it was asked before."""

    owner: str | None
    """name of the request's API key, where it has one"""
    request_hash: str
    """SHA-256, equal where one owner asks one route for the same"""
    idempotency: str | None = None
    """SHA-256 of the owner and the `Idempotency-Key`, where there is one"""
    is_retry: bool = False
    """whether an SDK says that it has sent the request before"""
    read_timeout: float | None = None
    """seconds after which the client gives up, to send the request again; None where it does not say"""
    arrived_at: float = field(default_factory=time.monotonic, compare=False)

    def grace_seconds(self) -> float:
        """For which the job of a client that leaves now goes on without it, because it may send its request again."""
        if self.idempotency is not None:
            return _GRACE_SECONDS
        waited = time.monotonic() - self.arrived_at
        timed_out = self.read_timeout is not None and waited >= _TIMED_OUT * self.read_timeout - _SENDING_SECONDS
        return _GRACE_SECONDS if timed_out else 0.0


def identity_of(request: Request, body: BaseModel, upload: bytes | None = None) -> RequestIdentity:
    """Of a request whose body was read: `body`, and the file that came with it.

    Raises:
        InvalidRequest: its `Idempotency-Key` cannot be one.
    """
    owner: str | None = request.scope.get(KEY_NAME)
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest("must be 1 to 255 ASCII characters", IDEMPOTENCY_KEY)
    text = json.dumps([owner, request.url.path, body.model_dump()], default=str)  # ASCII, whatever a client sent
    return RequestIdentity(
        owner,
        hashlib.sha256(text.encode() + b"\0" + (upload or b"")).hexdigest(),
        key and hashlib.sha256(json.dumps([owner, key]).encode()).hexdigest(),
        is_retry=(_number(request, _RETRY_COUNT) or 0) > 0,
        read_timeout=_number(request, _READ_TIMEOUT) or _number(request, _NODE_TIMEOUT),
    )


def viewer_of(request: Request) -> str | None:
    """The name of the key whose jobs alone the request may see; None where it may see all."""
    if request.scope.get(IS_ADMIN):
        return None
    name: str | None = request.scope.get(KEY_NAME)
    return name


def _number(request: Request, header: str) -> float | None:
    text = request.headers.get(header, "")
    return float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) else None
