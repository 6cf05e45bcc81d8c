"""Images in terminals that can show them: by kitty's graphics protocol, or by iTerm2's inline images.

https://sw.kovidgoyal.net/kitty/graphics-protocol/ and https://iterm2.com/documentation-images.html
"""

import base64
import io
import os
from collections.abc import Callable, Mapping
from typing import IO, Literal

Protocol = Literal["kitty", "iterm2"]

_CHUNK = 4096
"""base64 characters of one of kitty's escape codes"""
_ID = 1
"""of the image and its placement, in kitty: a new one takes the place of the last"""
_CELL = 0.5
"""width of a character by its height"""
_ROWS, _LEAST_ROWS, _OTHER_ROWS = 14, 4, 3
_MAX_SIDE = 2048


def protocol_of(environment: Mapping[str, str]) -> Protocol | None:
    """What the terminal understands; None where it does not say so, and in tmux and screen, which let nothing by."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "TMUX" in environment or term.startswith(("tmux", "screen", "dumb")):
        return None
    if "KITTY_WINDOW_ID" in environment or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    return "iterm2" if program in ("iTerm.app", "WezTerm") else None


class PreviewArea:
    """Lines of a terminal above the cursor's that show one preview after the other.

    Args:
        stream: the terminal's.
        protocol: what it understands.
    """

    def __init__(self, stream: IO[str], protocol: Protocol) -> None:
        self._stream = stream
        self._protocol = protocol
        self._rows = 0

    def show(self, file: bytes, with_room: Callable[[Callable[[], None]], None]) -> None:
        """Show an image; a file that is none, or a terminal that is too small, shows nothing.

        Args:
            file: WebP or PNG.
            with_room: calls what it is given while nothing stands in the cursor's line.
        """
        decoded = png_of(file)
        if decoded is None:
            return
        png, width, height = decoded
        columns, lines = os.get_terminal_size(self._stream.fileno())
        if not self._rows:
            self._rows = min(_ROWS, lines - _OTHER_ROWS)
            if self._rows < _LEAST_ROWS:
                self._rows = 0
                return
            with_room(lambda: self._write("\n" * self._rows))
        rows = self._rows
        across = max(1, round(rows * width / height / _CELL))
        if across > columns:
            across, rows = columns, max(1, round(columns * _CELL * height / width))
        code = (_kitty if self._protocol == "kitty" else _iterm2)(png, across, rows)
        # one write: whoever else writes to the terminal does so before or after it
        self._write(f"\x1b7\x1b[{self._rows}A\r{code}\x1b8")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def png_of(file: bytes) -> tuple[bytes, int, int] | None:
    """As PNG, with its width and height in pixels; None where it is no small WebP or PNG."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(file), formats=("WEBP", "PNG")) as image:
            if max(image.size) > _MAX_SIDE:
                return None
            png = io.BytesIO()
            image.convert("RGB").save(png, "PNG")
            return png.getvalue(), *image.size
    except (OSError, ValueError):
        return None


def _kitty(png: bytes, columns: int, rows: int) -> str:
    text = base64.b64encode(png).decode()
    chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    # transmit a PNG and show it, say nothing back, leave the cursor where it is
    first = f"a=T,f=100,q=2,C=1,i={_ID},p={_ID},c={columns},r={rows},"
    return "".join(
        f"\x1b_G{first if number == 0 else ''}m={int(number < len(chunks) - 1)};{chunk}\x1b\\"
        for number, chunk in enumerate(chunks)
    )


def _iterm2(png: bytes, columns: int, rows: int) -> str:
    options = f"inline=1;size={len(png)};width={columns};height={rows};preserveAspectRatio=1"
    return f"\x1b]1337;File={options}:{base64.b64encode(png).decode()}\x07"
