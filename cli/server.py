"""A Tritonreel server, as commands ask it over HTTP.

ClientError
├── Refused          the server has answered with an error
├── Unreachable      no server answers
└── ConnectionLost   it has answered, and does not any more
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from cli.job import Job
from frontend.agent.connection import CONNECT_SECONDS, authorization, error_of, not_ours, server_url

_READ_SECONDS = 60.0
"""of silence; streams of events have a comment every 15 s"""
_LONGEST_LINE = 16 * 2**20
"""bytes of an event"""
_CREATE_TRIES = 3


class ClientError(Exception):
    """What a command ends with.

    Args:
        message: a sentence, the server's own where it has answered.
        field: of the request that it is about.
        code: a stable name of the case.
    """

    def __init__(self, message: str, field: str | None = None, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.code = code


class Refused(ClientError):
    """The server has answered with an error.

    Args:
        status: of the HTTP answer.
    """

    def __init__(self, message: str, field: str | None, code: str, status: int) -> None:
        super().__init__(message, field, code)
        self.status = status


class Unreachable(ClientError):
    """No server answers."""


class ConnectionLost(ClientError):
    """The server has answered, and does not any more."""


class Server:
    """The server at a URL. A context manager, which closes its connections.

    The API key is what the environment has as TRITONREEL_API_KEY.

    Raises:
        ValueError: the URL, or the key, cannot be one.
    """

    def __init__(self, url: str) -> None:
        self.url = server_url(url)
        self._headers = authorization()
        self._client = httpx.Client(timeout=httpx.Timeout(_READ_SECONDS, connect=CONNECT_SECONDS))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def create(self, path: str, body: Mapping[str, Any], key: str) -> str:
        """Ask for a job, and do not wait for it.

        Args:
            path: of the route.
            key: its `Idempotency-Key`: however often this is called with it, there is one job.

        Returns:
            Its id.
        """
        headers = {"Prefer": "respond-async", "Idempotency-Key": key}
        for _ in range(_CREATE_TRIES - 1):
            try:
                return self._created(path, body, headers)
            except ConnectionLost:
                continue
        return self._created(path, body, headers)

    def job(self, job_id: str) -> Job:
        with self.understood():
            return Job.of(self._ask("GET", f"/v1/jobs/{_segment(job_id)}"))

    def jobs(self, **wanted: object) -> tuple[list[Job], bool]:
        """Those that fit, the newest first, and whether there are more.

        Args:
            wanted: query parameters of `GET /v1/jobs`; None for those that are left out.
        """
        page = self._ask("GET", "/v1/jobs", params={name: one for name, one in wanted.items() if one is not None})
        with self.understood():
            return [Job.of(one) for one in page["data"]], bool(page["has_more"])

    def delete(self, job_id: str) -> None:
        """Remove a job with its files; it is stopped before its next step if it runs."""
        self._ask("DELETE", f"/v1/jobs/{_segment(job_id)}")

    def models(self) -> dict[str, Any]:
        """The answer of `GET /v1/models`."""
        answer: dict[str, Any] = self._ask("GET", "/v1/models")
        return answer

    def events(self, job_id: str, heard: str | None, *, previews: bool) -> Iterator[tuple[str | None, dict[str, Any]]]:
        """What happens to a job until the server closes the stream: ids and data of events.

        Args:
            heard: id of the last event that is known.
        """
        path = f"/v1/jobs/{_segment(job_id)}/events"
        headers = self._headers | ({} if heard is None else {"Last-Event-ID": heard})
        parameters = {"previews": "true"} if previews else {}
        with (
            self._transport_errors(),
            self._client.stream("GET", self.url + path, params=parameters, headers=headers) as response,
        ):
            if not response.is_success:
                response.read()
                raise _refusal(response)
            yield from _events(response)

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Where an answer is read: one that has not what it should have is not this server's."""
        try:
            yield
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ClientError(
                f"{self.url} does not answer as a Tritonreel server of this release does", code="invalid_answer"
            ) from None

    @contextmanager
    def file(self, url: str) -> Iterator[Iterator[bytes]]:
        """The content of a file of a job, piece by piece. Its URL is signed: it is shown no key."""
        with self._transport_errors(), self._client.stream("GET", url) as response:
            if not response.is_success:
                response.read()
                raise _refusal(response)
            yield response.iter_bytes()

    def _created(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
        answer = self._ask("POST", path, json=body, headers=headers)
        with self.understood():
            return str(answer["id"])

    def _ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any) -> Any:
        with self._transport_errors():
            response = self._client.request(
                method, self.url + path, headers=self._headers | dict(headers or {}), **options
            )
        if not response.is_success:
            raise _refusal(response)
        with self.understood():
            return response.json()

    @contextmanager
    def _transport_errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise Unreachable(
                f"no server answers at {self.url}: start it, or name another one (--url)", code="unreachable"
            ) from None
        except httpx.InvalidURL:
            raise ClientError(f"{self.url} names a file by what is no URL", code="invalid_answer") from None
        except httpx.RequestError as error:
            raise ConnectionLost(
                f"the connection to {self.url} was lost ({type(error).__name__})", code="connection_lost"
            ) from None


def new_key() -> str:
    """An `Idempotency-Key`."""
    return uuid.uuid4().hex


def _segment(text: str) -> str:
    """Of a path: an id cannot lead to another route."""
    return quote(text, safe="")


def _refusal(response: httpx.Response) -> ClientError:
    try:
        error = error_of(response)
    except ValueError:
        return Refused(not_ours(response), None, "invalid_answer", response.status_code)
    return Refused(error.message, error.param, error.code, response.status_code)


def _events(response: httpx.Response) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Of a stream. Lines end with LF alone: what Python calls a line end besides may stand in the data."""
    fields: dict[str, str] = {}
    rest = b""
    for piece in response.iter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise ClientError(not_ours(response), code="invalid_answer")
        for line in lines:
            name, _, value = line.decode(errors="replace").partition(": ")
            if line:
                fields[name] = value
                continue
            if "data" in fields:
                yield fields.get("id"), _object(fields["data"], response)
            fields = {}


def _object(text: str, response: httpx.Response) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError):
        raise ClientError(not_ours(response), code="invalid_answer") from None
