"""Decodes request bodies that are sent with a `Content-Encoding`, piece by piece, so that none is ever there whole."""

import asyncio
import zlib
from collections.abc import Sequence

from starlette.types import Message, Receive

from frontend.errors import InvalidContentEncoding, UnsupportedContentEncoding
from protocol.printable import quoted

PIECE_BYTES = 64 * 1024
"""of what is decoded at a time: a kilobyte may be a megabyte"""
MAX_MEMBERS = 1_000
"""of a gzip body, which may be several that stand in a row; each costs something, however small it is"""

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
"""formats, in zlib's own words"""
_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_LONGEST = 100
"""characters of a Content-Encoding that an error repeats"""


def encoding_of(headers: Sequence[str]) -> str | None:
    """`gzip`, `deflate`, or None for a body that comes as it is.

    Args:
        headers: the values of all `Content-Encoding` headers.

    Raises:
        UnsupportedContentEncoding: it is encoded otherwise, or more than once.
    """
    names = [name.strip().lower() for header in headers for name in header.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if not names:
        return None
    if len(names) > 1 or names[0] not in _NAMES:
        given = quoted(", ".join(headers), _LONGEST)
        raise UnsupportedContentEncoding(f"the Content-Encoding must be gzip, deflate or identity, once, got {given}")
    return _NAMES[names[0]]


class DecodedBody:
    """A body on its way in, decoded.

    Args:
        receive: ASGI's, of the body as it is sent.
        encoding: as `encoding_of` says.
    """

    def __init__(self, receive: Receive, encoding: str) -> None:
        self._receive = receive
        self._decoder = _Decoder(encoding)
        self._arrived = self._complete = False

    async def receive(self) -> Message:
        """The next message, with at most `PIECE_BYTES`. Raises InvalidContentEncoding, and what `receive` raises."""
        if self._complete:
            return await self._receive()
        while not (piece := self._decoder.decode()):
            if self._arrived:
                self._decoder.end()
                self._complete = True
                break
            message = await self._receive()
            if message["type"] != "http.request":
                self._complete = True
                return message
            self._arrived = not message.get("more_body", False)
            self._decoder.feed(message.get("body", b""))
        await asyncio.sleep(0)  # others are served between the pieces
        return {"type": "http.request", "body": piece, "more_body": not self._complete}


class _Decoder:
    """Turns encoded bytes into decoded ones, `PIECE_BYTES` at most at a time."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._waiting = b""
        self._member = None if encoding == "deflate" else zlib.decompressobj(_GZIP)
        self._members = 1
        self._begun = False

    def feed(self, encoded: bytes) -> None:
        """Take the next bytes, once `decode` has nothing more to give of the last ones."""
        self._waiting += encoded
        self._begun = self._begun or bool(encoded)

    def decode(self) -> bytes:
        """The next piece; nothing where it takes more bytes to go on."""
        while self._waiting:
            member = self._current()
            try:
                piece = member.decompress(self._waiting, PIECE_BYTES)
            except zlib.error:
                raise InvalidContentEncoding(f"The body is not valid {self._encoding}") from None
            self._waiting = member.unused_data if member.eof else member.unconsumed_tail
            if piece:
                return piece
        # What fits no more into a piece may be inside of zlib, with no bytes left before it.
        return self._member.decompress(b"", PIECE_BYTES) if self._member and not self._member.eof else b""

    def end(self) -> None:
        """Nothing more comes."""
        if self._begun and (self._member is None or not self._member.eof):
            raise InvalidContentEncoding(f"The body ends before its {self._encoding} data does")

    def _current(self) -> "zlib._Decompress":
        """What decodes the bytes that wait."""
        if self._member is None:
            # Meant is zlib's format (RFC 9110); some send what is in it, without its header, which begins with this.
            self._member = zlib.decompressobj(_ZLIB if self._waiting[0] & 0x0F == zlib.DEFLATED else _RAW)
        elif self._member.eof:
            if self._encoding != "gzip":
                raise InvalidContentEncoding("The body has more after the end of its deflate data")
            self._members += 1
            if self._members > MAX_MEMBERS:
                raise InvalidContentEncoding(f"The body has more than {MAX_MEMBERS:,} gzip members")
            self._member = zlib.decompressobj(_GZIP)
        return self._member
