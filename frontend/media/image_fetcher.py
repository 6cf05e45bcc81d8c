"""Images that a request names by a URL."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import httpcore
import httpx

from frontend.errors import InvalidImage, TooManyUploads
from frontend.http.authority import Authority, Origin
from frontend.http.public_network import AnswerStream, NoPublicAddress, PublicNetwork
from frontend.media.data_uri import bytes_of_data_uri
from frontend.media.image_file import format_of
from frontend.media.image_header import ImageError

_AT_ONCE = 8
"""images that are fetched, or are there and not yet decoded"""
_SECONDS = 20.0
"""for one image, redirects and all; and for its turn"""
_CONNECT_SECONDS = 5.0
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FIRST_BYTES = 16
"""enough to tell the format"""
_MANY_CHUNKS = 1_000
_SMALL_CHUNK_BYTES = 512
"""of more chunks than that, on average; each costs time, however small it is"""
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_HEADERS: dict[bytes | str, bytes | str] = {
    "User-Agent": "Tritonreel",
    "Accept": "image/png, image/jpeg, image/webp",
    "Accept-Encoding": "identity",  # a small answer must not become a large one
    "Connection": "close",
}


class ImageFetcher:
    """Fetches from the public internet, a few at a time, within limits of time and size.

    No cookies, no credentials, no proxies, and nothing that a URL has behind its host in messages: it may be signed.

    Args:
        schemes: of URLs that are fetched: `https`, `http`, or none. data: URIs need no network.
        max_bytes: of one image.
        tls: whose certificates are taken.
        seconds: for one image, redirects and all, and for its turn.
        connect_seconds: of them, for one address of a host, and for TLS.
        network: makes the connections.
    """

    def __init__(
        self,
        schemes: Sequence[str],
        max_bytes: int,
        tls: ssl.SSLContext,
        *,
        seconds: float = _SECONDS,
        connect_seconds: float = _CONNECT_SECONDS,
        network: PublicNetwork | None = None,
    ) -> None:
        self._schemes = schemes
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._connect_seconds = connect_seconds
        self._network = network or PublicNetwork()
        self._tls = tls
        self._places = asyncio.Semaphore(_AT_ONCE)

    def close(self) -> None:
        self._network.close()

    @asynccontextmanager
    async def fetched(self, url: str, field: str) -> AsyncIterator[bytes]:
        """The file behind a URL, or in a data: URI. It counts as held until the context ends: leave it once the file
        is decoded.

        Args:
            field: of the request, for errors.

        Raises:
            InvalidImage: the URL is not one that is fetched, nothing comes from there, or what comes is no PNG, JPEG
                or WebP file, as far as its first bytes tell.
            TooManyUploads: others are being fetched, for a long time.
        """
        if url[:5].lower() == "data:":
            yield await asyncio.to_thread(bytes_of_data_uri, url, field)
            return
        try:
            target = self._target(url)
        except ValueError as refused:
            raise InvalidImage(str(refused), field) from None
        await self._turn()
        try:
            yield await self._fetch(target, field)
        finally:
            self._places.release()

    async def _turn(self) -> None:
        """Take a place. Raises TooManyUploads."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._places.acquire()
        except TimeoutError:
            raise TooManyUploads("The server fetches as many images as it can: send this one again later") from None

    async def _fetch(self, target: "_Target", field: str) -> bytes:
        """Raises InvalidImage."""
        host = target.origin.host
        where = host
        try:
            async with asyncio.timeout(self._seconds):
                for _ in range(1 + _MAX_REDIRECTS):
                    answer = await self._get(target)
                    if isinstance(answer, bytes):
                        return answer
                    where = f"the URL that {host} redirects to"
                    target = self._redirected(target, answer)
        except _Refused as refused:
            reason = f"{where} {refused}"
        except NoPublicAddress:
            reason = f"{where} has no public address"
        except TimeoutError:
            reason = f"{where} did not send it within {self._seconds:g} seconds"
        # OSError: of TLS, once it has begun.
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as failure:
            reason = f"{where} {_reason_of(failure)}"
        except ImageError as error:
            raise InvalidImage(error.message, field) from None
        else:
            reason = f"{host} redirects more than {_MAX_REDIRECTS} times"
        raise InvalidImage(f"the image cannot be fetched: {reason}", field)

    async def _get(self, target: "_Target") -> bytes | str:
        """The file, or where it is instead."""
        secure = self._tls if target.origin.scheme == "https" else None
        async with (
            httpcore.AsyncHTTPConnection(
                target.core.origin, ssl_context=secure, network_backend=self._network
            ) as connection,
            connection.stream(
                "GET",
                target.core,
                headers=_HEADERS | {"Host": target.authority},
                extensions={"timeout": {"connect": self._connect_seconds}},
            ) as response,
        ):
            cast(AnswerStream, response.extensions["network_stream"]).begun()
            headers = httpx.Headers(response.headers)
            if response.status in _REDIRECTS and "location" in headers:
                return headers["location"]
            if response.status != 200:
                raise _Refused(f"answered with status {response.status}")
            self._check(headers)
            return await self._read(response)

    def _check(self, headers: httpx.Headers) -> None:
        """Refuse what the headers say already. Raises _Refused."""
        if headers.get("content-type", "").partition(";")[0].strip().lower() in _PAGES:
            raise _Refused("answered with a web page: give the URL of the image file itself")
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise _Refused("compresses it, although it was asked not to")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise self._too_large()

    async def _read(self, response: httpcore.Response) -> bytes:
        """Raises _Refused, ImageError."""
        content = bytearray()
        known, chunks = False, 0
        async for chunk in response.aiter_stream():
            content += chunk
            chunks += 1
            if len(content) > self._max_bytes:
                raise self._too_large()
            if chunks > _MANY_CHUNKS and len(content) < chunks * _SMALL_CHUNK_BYTES:
                raise _Refused("sends it in too many small pieces")
            if not known and len(content) >= _FIRST_BYTES:
                format_of(bytes(content[:_FIRST_BYTES]))
                known = True
        if not known:
            format_of(bytes(content))
        return bytes(content)

    def _too_large(self) -> "_Refused":
        return _Refused(f"sends more than {self._max_bytes:,} bytes, which is the limit")

    def _target(self, url: str) -> "_Target":
        """Raises ValueError with a sentence."""
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            raise ValueError("is not a valid URL") from None
        if not self._schemes:
            raise ValueError("must be a data: URI in base64, this server does not fetch other URLs")
        if parsed.scheme not in self._schemes:
            begins = " or ".join(f"{scheme}://" for scheme in self._schemes)
            raise ValueError(f"must be a URL that begins with {begins}, or a data: URI in base64")
        if parsed.userinfo:
            raise ValueError("must not have a user name or password in its URL")
        try:
            return _Target(parsed, Origin.of(parsed.scheme, Authority.parse(parsed.netloc.decode("ascii"))))
        except ValueError:
            raise ValueError("must have a valid host name in its URL, and a valid port if it has one") from None

    def _redirected(self, target: "_Target", location: str) -> "_Target":
        """Raises _Refused."""
        try:
            following = self._target(str(target.url.join(location)))
        except (ValueError, httpx.InvalidURL):
            raise _Refused("is not one that is fetched") from None
        if target.origin.scheme == "https" != following.origin.scheme:
            raise _Refused("is not one that is fetched")
        return following


class _Refused(Exception):
    """What came of a host or URL is not taken; how a sentence about it goes on."""


@dataclass(frozen=True)
class _Target:
    """A URL that may be fetched, as far as it tells itself."""

    url: httpx.URL
    origin: Origin

    @property
    def authority(self) -> str:
        """For the `Host` header."""
        return str(self.origin).partition("://")[2]

    @property
    def core(self) -> httpcore.URL:
        """Its host is exactly the one that was checked."""
        scheme, host = self.origin.scheme.encode(), self.origin.host.encode()
        return httpcore.URL(scheme=scheme, host=host, port=self.origin.port, target=self.url.raw_path)


def _reason_of(failure: Exception) -> str:
    cause = failure.__cause__ or failure
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"has a certificate that is not accepted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return "does not speak TLS as it should"
    if isinstance(failure, httpcore.ConnectError | httpcore.ConnectTimeout):
        return "cannot be reached"
    if isinstance(failure, httpcore.ProtocolError):
        return "does not speak HTTP as it should"
    return "ended the connection too early"
