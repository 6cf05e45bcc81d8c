"""Reads forms: text in UTF-8 and nothing else, files as they are, everything bounded."""

from collections.abc import AsyncIterator, Container
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from frontend.errors import InvalidMultipart
from frontend.http.json_text import MAX_TEXT_BYTES
from protocol.printable import quoted

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FILES = 4
MAX_FIELDS = 200
MAX_FRAMING_BYTES = 128 * 1024
"""of a body: all that is not the content of a part, that is boundaries, headers, and what stands around the parts"""
MAX_BOUNDARIES = 1_000
"""of a body: what looks like one is looked at byte by byte, and could be all of it"""

_UTF8 = frozenset({b"utf-8", b"utf8", b"us-ascii"})
_AS_IT_IS = frozenset({b"", b"7bit", b"8bit", b"binary"})
"""values of Content-Transfer-Encoding that encode nothing; RFC 7578 has no others"""
_BYTES_PER_ESCAPE = 16
"""at least, of a long text: in base64 two characters of 64 are percent-encoded"""
_CHARSET_FIELD = "_charset_"
"""RFC 7578: the field in which browsers say how the text of the others is encoded"""


@dataclass(frozen=True)
class Part:
    """A field of a form: text, or the content of a file."""

    name: str
    content: str | bytes


def read_urlencoded(body: bytes, content_type: str, long_texts: Container[str]) -> list[Part]:
    """The fields of an application/x-www-form-urlencoded body, in their order. Arguments and errors as `read_parts`."""
    _, options = parse_options_header(content_type)
    _check_utf8(options.get(b"charset", b""), None)
    if body.count(b"&") >= MAX_FIELDS:
        raise InvalidMultipart(f"Too many fields. Maximum number of fields is {MAX_FIELDS}.")
    if body.count(b"%") > MAX_TEXT_BYTES + len(body) // _BYTES_PER_ESCAPE:  # each is an object while it is decoded
        raise InvalidMultipart("Too many percent-encoded bytes: send the form as multipart/form-data")
    pairs = [pair.replace(b"+", b" ").partition(b"=") for pair in body.split(b"&") if pair]
    if sum(len(name) for name, _, _ in pairs) > MAX_FRAMING_BYTES:
        raise InvalidMultipart(f"Too much around the parts. Maximum size is {MAX_FRAMING_BYTES:,} bytes.")
    parts = []
    for encoded_name, _, encoded_text in pairs:
        name, text = _name(unquote_to_bytes(encoded_name)), unquote_to_bytes(encoded_text)
        if len(text) > MAX_TEXT_BYTES and name not in long_texts:
            raise _too_long(name)
        parts += _text_part(name, text)
    return parts


async def read_parts(body: AsyncIterator[bytes], content_type: str, long_texts: Container[str]) -> list[Part]:
    """The parts of a form, in their order. Those with a file name are files.

    Args:
        content_type: the request's header.
        long_texts: names of fields whose text may be as long as the body.

    Raises:
        InvalidMultipart: it is not a form, ends too early, has too much of something, or has text that is not UTF-8.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidMultipart("The body is not a valid form: its Content-Type has no boundary")
    _check_utf8(options.get(b"charset", b""), None)
    reader = _Reader(long_texts)
    try:
        parser = MultipartParser(boundary, reader.callbacks)
        received = boundaries = 0
        async for chunk in body:
            boundaries += chunk.count(b"\r\n--" + boundary)
            if boundaries > MAX_BOUNDARIES:
                raise InvalidMultipart(f"Too many boundaries. Maximum number of boundaries is {MAX_BOUNDARIES:,}.")
            parser.write(chunk)
            received += len(chunk)
            if received - reader.content_bytes > MAX_FRAMING_BYTES:
                raise InvalidMultipart(f"Too much around the parts. Maximum size is {MAX_FRAMING_BYTES:,} bytes.")
    except FormParserError:
        raise InvalidMultipart("The body is not a valid form: Invalid multipart data.") from None
    if not reader.complete:
        raise InvalidMultipart("The body is not a valid form: it ends before its closing boundary")
    return reader.parts


class _Reader:
    """Makes parts of what a parser finds."""

    def __init__(self, long_texts: Container[str]) -> None:
        self.parts: list[Part] = []
        self.content_bytes = 0
        self.complete = False
        self.callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_to_header_name,
            "on_header_value": self._add_to_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_content,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        self._long_texts = long_texts
        self._files = self._fields = 0
        self._headers: dict[bytes, bytes] = {}
        self._header_name, self._header_value = bytearray(), bytearray()
        self._name = ""
        self._is_file = False
        self._content = bytearray()

    def _begin_part(self) -> None:
        self._headers = {}
        self._content = bytearray()

    def _add_to_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_to_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value).strip()
        self._header_name, self._header_value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in options:
            raise InvalidMultipart(
                'The body is not a valid form: The Content-Disposition header field "name" must be provided.'
            )
        self._name = _name(options[b"name"])
        self._is_file = b"filename" in options
        self._count()
        encoding = self._headers.get(b"content-transfer-encoding", b"").lower()
        if encoding not in _AS_IT_IS:
            raise InvalidMultipart(f"must not have the Content-Transfer-Encoding {_shown(encoding)}", self._name)
        if not self._is_file:
            _, parameters = parse_options_header(self._headers.get(b"content-type"))
            _check_utf8(parameters.get(b"charset", b""), self._name)

    def _count(self) -> None:
        self._files += self._is_file
        self._fields += not self._is_file
        if self._files > MAX_FILES:
            raise InvalidMultipart(f"Too many files. Maximum number of files is {MAX_FILES}.")
        if self._fields > MAX_FIELDS:
            raise InvalidMultipart(f"Too many fields. Maximum number of fields is {MAX_FIELDS}.")

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        self.content_bytes += end - start
        self._content += data[start:end]
        if len(self._content) > MAX_TEXT_BYTES and not self._is_file and self._name not in self._long_texts:
            raise _too_long(self._name)

    def _end_part(self) -> None:
        if self._is_file:
            self.parts.append(Part(self._name, bytes(self._content)))
        else:
            self.parts += _text_part(self._name, bytes(self._content))

    def _end(self) -> None:
        self.complete = True


def _name(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise InvalidMultipart(f"The name of the field {_shown(name)} is not UTF-8") from None


def _too_long(name: str) -> InvalidMultipart:
    return InvalidMultipart(f"must have at most {MAX_TEXT_BYTES:,} bytes of text", name)


def _text_part(name: str, content: bytes) -> list[Part]:
    """A field of text; none for the one that says how the text of the others is encoded."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InvalidMultipart("must be UTF-8", name) from None
    if name == _CHARSET_FIELD:
        _check_utf8(content, _CHARSET_FIELD)
        return []
    return [Part(name, text)]


def _check_utf8(charset: bytes, field: str | None) -> None:
    """A charset is never guessed: text comes as UTF-8, also where nothing says so."""
    if charset and charset.lower() not in _UTF8:
        raise InvalidMultipart(f"The charset must be UTF-8, got {_shown(charset)}", field)


def _shown(header: bytes) -> str:
    return quoted(header.decode(errors="replace"))
