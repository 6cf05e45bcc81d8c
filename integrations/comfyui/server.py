"""A Tritonreel server over HTTP, with what Python itself has."""

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

DEFAULT_URL = "http://127.0.0.1:8000"
_SECONDS = 60.0
"""of silence; streams of events have a comment every 15 s"""
_LIST_SECONDS = 2.0
"""for the lists of models and adapters, which ComfyUI's page waits for"""
_KEEP_LIST_SECONDS = 5.0
_LONGEST_LINE = 16 * 2**20
_MOST_BYTES = 2 * 2**30
"""of a file"""


class ServerError(RuntimeError):
    """What the server says is wrong, or that it does not answer; a sentence."""


def own_url() -> str:
    """Of the server that the environment names."""
    return os.environ.get("TRITONREEL_URL", "").strip() or DEFAULT_URL


class Server:
    """The server at a URL.

    The API key that the environment has as TRITONREEL_API_KEY is shown to the server of TRITONREEL_URL alone: a
    workflow comes from anywhere, and may name any other.

    Raises:
        ServerError: the URL cannot be one.
    """

    def __init__(self, url: str) -> None:
        parsed = urllib.parse.urlsplit(url.strip())
        if parsed.scheme not in ("http", "https") or not parsed.hostname or parsed.username or parsed.query:
            raise ServerError("the server's URL must be like http://127.0.0.1:8000, without user, password and query")
        self.url = url.strip().rstrip("/")
        own = urllib.parse.urlsplit(own_url())
        key = os.environ.get("TRITONREEL_API_KEY")
        shown = key and (parsed.scheme, parsed.netloc) == (own.scheme, own.netloc)
        self._headers = {"Authorization": f"Bearer {key}"} if shown else {}

    def create(self, path: str, body: Mapping[str, Any]) -> str:
        """Ask for a job, and do not wait for it; its id."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": uuid.uuid4().hex}
        try:
            return str(self._ask("POST", path, body, headers=headers)["id"])
        except KeyError:
            raise ServerError(f"{self.url} does not answer as a Tritonreel server does") from None

    def job(self, job_id: str) -> dict[str, Any]:
        return self._ask("GET", f"/v1/jobs/{job_id}")

    def delete(self, job_id: str) -> None:
        """Remove a job, which is stopped if it runs."""
        self._ask("DELETE", f"/v1/jobs/{job_id}")

    def events(self, job_id: str) -> Iterator[dict[str, Any]]:
        """What happens to a job, previews included, until the server closes the stream."""
        data = ""
        with self._open("GET", f"{self.url}/v1/jobs/{job_id}/events?previews=true", headers=self._headers) as response:
            while line := response.readline(_LONGEST_LINE):
                text = line.decode(errors="replace").rstrip("\n")
                if text.startswith("data: "):
                    data = text.removeprefix("data: ")
                elif not text and data:
                    yield json.loads(data)
                    data = ""

    def file(self, url: str) -> bytes:
        """The content of a file of a job. Its URL is signed: it is shown no key."""
        with self._open("GET", url) as response:
            return bytes(response.read(_MOST_BYTES))

    def listed(self, path: str) -> list[dict[str, Any]]:
        """Everything that a list of the server has."""
        return [dict(one) for one in self._ask("GET", path, seconds=_LIST_SECONDS)["data"]]

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = _SECONDS,
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        every = {"Content-Type": "application/json", **self._headers, **(headers or {})}
        with self._open(method, self.url + path, content, headers=every, seconds=seconds) as response:
            try:
                return dict(json.loads(response.read()))
            except (TypeError, ValueError):
                raise ServerError(f"{self.url} does not answer as a Tritonreel server does") from None

    def _open(
        self,
        method: str,
        url: str,
        content: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = _SECONDS,
    ) -> Any:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):  # urllib would open files too
            raise ServerError(f"{self.url} does not answer as a Tritonreel server does")
        request = urllib.request.Request(url, content, dict(headers or {}), method=method)
        try:
            return _OPENER.open(request, timeout=seconds)
        except urllib.error.HTTPError as error:
            raise ServerError(_message(error, self.url)) from None
        except OSError as error:
            raise ServerError(f"no server answers at {self.url}: start it, or set TRITONREEL_URL ({error})") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected request would show the key to another server."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)
_lists: dict[tuple[str, str], tuple[float, list[dict[str, Any]]]] = {}
"""when each was asked for, and what it was"""


def listed(path: str) -> list[dict[str, Any]]:
    """As `Server.listed` of the environment's server; empty where it does not answer. Asked for every few seconds."""
    url = own_url()
    asked_at, found = _lists.get((url, path), (-_KEEP_LIST_SECONDS, []))
    if time.monotonic() - asked_at > _KEEP_LIST_SECONDS:
        try:
            found = Server(url).listed(path)
        except (ServerError, OSError, KeyError, TypeError, ValueError):
            found = []
        _lists[url, path] = time.monotonic(), found
    return found


def printable(text: str) -> str:
    """One line of plain text: ComfyUI prints errors to a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _message(error: urllib.error.HTTPError, url: str) -> str:
    try:
        said = json.loads(error.read(2**20))["error"]
        message, field = str(said["message"]), said.get("param")
    except (ValueError, KeyError, TypeError, OSError):
        return f"{url} answered {error.code}, but not as a Tritonreel server does"
    hint = " (set TRITONREEL_API_KEY and TRITONREEL_URL)" if error.code == 401 else ""
    return printable(message + (f" ({field})" if field and str(field) not in message else "") + hint)
