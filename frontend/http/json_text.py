"""Decodes JSON whose size is bounded before anything is made of it.

A megabyte of `{},{},...` is 350,000 objects, which take seconds and hundreds of megabytes to decode, to validate and to
complain about. So the text is scanned first: the scan makes no values, stops at the first bound, and costs little
however the text is made. What it lets pass, a parser decodes.
"""

import re
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

MAX_DEPTH = 32
"""arrays and objects inside of one another"""
MAX_ENTRIES = 1_000
"""of one array or object"""
MAX_VALUES = 5_000
"""of a whole body; each key, string, number, array and object is one"""
MAX_TEXT_BYTES = 128 * 1024
"""of one string as it is written: 8,000 characters outside of the basic plane take 96,000 when they are escaped"""
MAX_NUMBER_BYTES = 1_000
LONG_TEXTS = frozenset({"image_url", "input_image_url"})
"""names of the fields that hold files; these strings may be as long as the body"""

_WINDOW = 256 * 1024
"""bytes that a regular expression goes through in one call; after each, other threads get their turn"""
_TOKEN = re.compile(
    rb'[ \t\r\n]{0,%d}+(?:(?P<mark>[\[\]{},:"])|(?P<literal>[^ \t\r\n\[\]{},:"]{1,%d}+))?'
    % (_WINDOW, MAX_NUMBER_BYTES + 1)
)
_ESCAPED_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BEFORE_VALUE = (b",", b":", b"[", b"{")
_QUOTE = ord('"')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_NAME = 1_000
"""bytes of a key that an error's path has at most"""


class NotJson(ValueError):
    """The text is not JSON, or of a kind that is not read here; the message says why."""


class InvalidValue(ValueError):
    """A value in the text is larger than it may be, or not Unicode.

    Args:
        path: where the value is, in keys and indexes.
        rule: what it must be.
    """

    def __init__(self, path: tuple[str | int, ...], rule: str) -> None:
        super().__init__(rule)
        self.path = path
        self.rule = rule


@dataclass
class Budget:
    """How many values may still come in texts that belong together."""

    values: int = MAX_VALUES


def decode(text: bytes | bytearray, budget: Budget | None = None) -> Any:
    """The value of a JSON text in UTF-8. Where a key comes twice, the last one counts.

    Raises:
        NotJson: malformed, nested too deeply, or with a number of too many digits.
        InvalidValue: naming what is too long, or not Unicode.
    """
    if text.startswith(_BYTE_ORDER_MARK):
        text = text[len(_BYTE_ORDER_MARK) :]
    _Scan(text, budget or Budget()).run()
    try:
        return from_json(text)
    except ValueError as error:
        not_utf8 = str(error).startswith("invalid unicode code point")
        raise NotJson("it is not UTF-8" if not_utf8 else str(error)) from None


@dataclass(slots=True)
class _Container:
    """An array or object that is open."""

    is_object: bool
    entries: int = 0
    key: tuple[int, int] | None = None
    """where the key of the present entry stands; None in arrays, and while an object waits for one"""


class _Scan:
    """Walks through the tokens of a text, and follows its grammar as far as counting needs it."""

    def __init__(self, text: bytes | bytearray, budget: Budget) -> None:
        self._text = text
        self._budget = budget
        self._open: list[_Container] = []

    def run(self) -> None:
        """Return at the end of the text, or where a parser gives up at the latest. Raises as `decode`."""
        position = 0
        before: bytes | None = b","
        while (match := _TOKEN.match(self._text, position)) and match.end() > position:
            position = match.end()
            literal, mark = match["literal"], match["mark"]
            if literal is None and mark is None:  # a long run of blanks
                continue
            # Values and separators take turns, so that there are no more of these than of values, which are counted.
            if (mark in (b",", b":")) == (before in _BEFORE_VALUE) and mark not in (b"]", b"}"):
                return
            match mark:
                case None:
                    if len(literal) > MAX_NUMBER_BYTES:
                        raise NotJson("it has a number with too many digits")
                    self._count()
                case b'"':
                    position = self._string(position)
                case b"[" | b"{":
                    self._enter(is_object=mark == b"{")
                case b"]" | b"}":
                    if not self._open:
                        return
                    self._open.pop()
                case b"," if self._open:
                    self._open[-1].key = None
            before = mark

    def _enter(self, *, is_object: bool) -> None:
        if len(self._open) == MAX_DEPTH:
            raise NotJson("it is nested too deeply")
        self._count()
        self._open.append(_Container(is_object))

    def _count(self) -> None:
        """An entry of what is open begins."""
        self._spend()
        if self._open:
            container = self._open[-1]
            container.entries += 1
            if container.entries > MAX_ENTRIES:
                raise InvalidValue(self._path(self._open[:-1]), f"must have at most {MAX_ENTRIES:,} entries")

    def _spend(self) -> None:
        self._budget.values -= 1
        if self._budget.values < 0:
            raise InvalidValue(self._path(self._open[:1]), f"has too many values: a body may have {MAX_VALUES:,}")

    def _string(self, start: int) -> int:
        """The position behind the string whose first character is at `start`."""
        container = self._open[-1] if self._open else None
        if container is not None and container.is_object and container.key is None:
            self._spend()
            end = self._end_of_text(start, self._open[:-1], may_be_long=False)
            container.key = (start, end)
        else:
            self._count()
            may_be_long = container is not None and container.key is not None and self._name(container) in LONG_TEXTS
            end = self._end_of_text(start, self._open, may_be_long)
        return end + 1

    def _end_of_text(self, start: int, path: list[_Container], may_be_long: bool) -> int:
        """Where the closing quote is, or the whole text ends.

        Args:
            path: to the string, for errors.
        """
        if may_be_long:
            return self._closing_quote(start, len(self._text))
        # Two more: the last character may be half of an escape.
        end = self._closing_quote(start, min(start + MAX_TEXT_BYTES + 2, len(self._text)))
        if end - start > MAX_TEXT_BYTES:
            raise InvalidValue(self._path(path), f"must have at most {MAX_TEXT_BYTES:,} bytes of text")
        if _SURROGATE.search(self._text, start, end):
            try:
                from_json(self._text[start - 1 : end + 1])
            except ValueError as error:  # of other mistakes in it, the parser says what they are
                if "hex escape" in str(error):
                    raise InvalidValue(self._path(path), "must be valid Unicode") from None
        return end

    def _closing_quote(self, start: int, stop: int) -> int:
        """Where it is, `stop` or one less if it is not before."""
        text = self._text
        quote = text.find(b'"', start, stop)
        end = quote if quote >= 0 else stop
        position = text.find(b"\\", start, end)
        if position < 0:
            return end
        while match := _ESCAPED_TEXT.match(text, position, min(position + _WINDOW, stop)):
            if match.end() in (position, stop) or text[match.end()] == _QUOTE:
                return match.end()
            position = match.end()
        return stop

    def _path(self, containers: list[_Container]) -> tuple[str | int, ...]:
        """The keys and indexes that lead through `containers` to the present entry of the last."""
        return tuple(
            self._name(container) if container.is_object else max(container.entries - 1, 0) for container in containers
        )

    def _name(self, container: _Container) -> str:
        """The key of the present entry of an object."""
        if container.key is None:
            return ""
        start, end = container.key
        return self._text[start : min(end, start + _LONGEST_NAME)].decode(errors="replace")
