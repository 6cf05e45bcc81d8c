"""HTTP to a hosted provider: what is lost on the way, and videos that are fetched within limits."""

import email.utils
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx

from frontend.providers.errors import (
    ContentRefused,
    GenerationFailed,
    InvalidAnswer,
    LinkExpired,
    ProviderBusy,
    ProviderError,
    ProviderUnavailable,
    SubmissionUncertain,
)
from frontend.providers.provider import Ready
from protocol.printable import printable

_MAX_REDIRECTS = 5
_EXPIRED = (403, 404, 410)
"""what storage answers to a URL whose time is over"""
_LONGEST_QUOTE = 500
_NOT_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"})
"""the request cannot have reached anyone; names, as httpx2 has the same ones"""
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)

T = TypeVar("T", bytes, bytearray)
Explain = Callable[[httpx.Response], ProviderError | None]
"""the error that an answer tells of, by the provider's own rules"""


class Transport:
    """Requests to one provider.

    Args:
        name: of the provider, for messages.
        base_url: any server that speaks its protocol.
        headers: made for each request: keys, which may expire.
        explain: see `Explain`; what it leaves open is told by the status.
    """

    def __init__(self, name: str, base_url: str, headers: Callable[[], Mapping[str, str]], explain: Explain) -> None:
        self._name = name
        self._headers = headers
        self._explain = explain
        self._client = httpx.AsyncClient(base_url=base_url.rstrip("/"), timeout=_TIMEOUT, follow_redirects=False)

    async def close(self) -> None:
        await self._client.aclose()

    def headers(self) -> dict[str, str]:
        """Of a request now."""
        return dict(self._headers())

    async def get(self, path: str) -> Any:
        return await self._json("GET", path)

    async def delete(self, path: str) -> Any:
        return await self._json("DELETE", path)

    async def post(self, path: str, body: Any = None, *, submits: bool = False, **options: Any) -> Any:
        """The JSON that it answers.

        Args:
            submits: whether this costs money: it is uncertain then what a lost answer means.
        """
        return await self._json("POST", path, submits, json=body, **options)

    async def _json(
        self,
        method: str,
        path: str,
        submits: bool = False,
        more_headers: Mapping[str, str] = MappingProxyType({}),
        **options: Any,
    ) -> Any:
        try:
            response = await self._client.request(method, path, headers={**self.headers(), **more_headers}, **options)
        except httpx.TransportError as lost:
            raise error_of_loss(self._name, lost, submits) from None
        if error := self._error_of(response, submits):
            raise error
        try:
            return response.json()
        except ValueError:
            raise uncertain_if(submits, f"{self._name} answered with something that is not JSON") from None

    def _error_of(self, response: httpx.Response, submits: bool) -> ProviderError | None:
        error = self._explain(response)
        if error is None and not response.is_success:
            what = f"{self._name} answered with {response.status_code}: {said(response, response.text)}"
            error = error_of_status(response.status_code, what, submits)
        if error is not None and error.retry_after is None:
            error.retry_after = retry_after(response.headers)
        return error

    async def fetch(self, ready: Ready, max_bytes: int) -> bytes:
        """The video. Its headers go to its URL's own origin alone, wherever that redirects.

        Raises:
            ProviderUnavailable: it did not come, or not whole.
            LinkExpired: it is not behind its URL any more.
            InvalidAnswer: it is larger than `max_bytes`, or a redirect leads nowhere.
        """
        if ready.content is not None:
            return self._within(ready.content, max_bytes)
        url, origin = ready.url, _origin(ready.url)
        for _ in range(_MAX_REDIRECTS):
            headers = dict(ready.headers) if _origin(url) == origin else {}
            try:
                async with self._client.stream("GET", url, headers=headers) as response:
                    if response.is_redirect:
                        url = urljoin(url, response.headers["location"])
                        _origin(url)
                        continue
                    if not response.is_success:
                        raise self._missing(response.status_code)
                    return await self._body(response, max_bytes)
            except httpx.HTTPError as lost:
                raise ProviderUnavailable(
                    f"the video of {self._name} did not come whole: {type(lost).__name__}"
                ) from None
        raise InvalidAnswer(f"the video of {self._name} is behind too many redirects")

    def _missing(self, status: int) -> ProviderError:
        what = f"the video of {self._name} cannot be fetched: status {status}"
        if status in _EXPIRED:
            return LinkExpired(what)
        return ProviderUnavailable(what) if status >= 500 else InvalidAnswer(what)

    async def _body(self, response: httpx.Response, max_bytes: int) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            self._within(content, max_bytes)
        return bytes(content)

    def _within(self, content: T, max_bytes: int) -> T:
        if len(content) > max_bytes:
            raise InvalidAnswer(f"the video of {self._name} has more than {max_bytes} bytes")
        return content


def error_of_loss(name: str, lost: Exception, submits: bool) -> ProviderError:
    """Of a request that no answer came to.

    Args:
        lost: of httpx or httpx2.
        submits: see `Transport.post`.
    """
    if submits and type(lost).__name__ not in _NOT_SENT:
        return SubmissionUncertain(
            f"the connection to {name} was lost while the job was sent; it may have been taken and charged, so it is "
            "not sent again"
        )
    return ProviderUnavailable(f"{name} cannot be reached: {type(lost).__name__}")


def error_of_status(status: int, what: str, submits: bool) -> ProviderError:
    """Of an answer that says no more than its status.

    Args:
        what: came, for the message.
        submits: see `Transport.post`.
    """
    match status:
        case 429:
            return ProviderBusy(what)
        case 408 | 503:
            return ProviderUnavailable(what)
    return uncertain_if(submits, what) if status >= 500 else InvalidAnswer(what)


def uncertain_if(submits: bool, what: str) -> ProviderError:
    """Of an answer that leaves open what became of the request."""
    if submits:
        return SubmissionUncertain(f"{what}; the job may have been taken and charged, so it is not sent again")
    return ProviderUnavailable(what)


def _origin(url: str) -> tuple[str, str]:
    """Raises InvalidAnswer for what is not HTTP."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidAnswer("the provider names a video that is not behind HTTP")
    return parts.scheme, parts.netloc


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, of either form of the header (RFC 9110, section 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    date = email.utils.parsedate_tz(value) if value else None
    return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())


def said(response: httpx.Response, text: str) -> str:
    """The beginning of `text`, which an answer has, on one line and without the key that was sent."""
    key = response.request.headers.get("authorization", "").removeprefix("Bearer ")
    return one_line(text.replace(key, "...") if key else text)


def one_line(text: str) -> str:
    """The beginning of an answer, fit for a terminal."""
    return printable(" ".join(text.split()), _LONGEST_QUOTE)


def mentions(text: str, words: Iterable[str]) -> bool:
    """Whether one of these is in it, in capitals or not."""
    return any(word in text.lower() for word in words)


def failure(name: str, reason: str, refused_words: Iterable[str], ended: str = "failed") -> ProviderError:
    """Of a job that the provider has taken.

    Args:
        refused_words: of reasons that are the filter's.
        ended: how, in the provider's word.
    """
    kind = ContentRefused if mentions(reason, refused_words) else GenerationFailed
    return kind(f"{name}: the job {ended}: {one_line(reason)}")
