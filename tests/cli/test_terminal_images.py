"""The escape codes of images."""

import base64
import io
import re

import pytest
from PIL import Image

from cli.terminal_images import _iterm2, _kitty, png_of, protocol_of


def file_of(size: tuple[int, int], format: str = "WEBP") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, format)
    return file.getvalue()


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1", "TMUX": "/tmp/tmux"}, None),
        ({"TERM": "dumb", "TERM_PROGRAM": "iTerm.app"}, None),
        ({"TERM": "xterm-256color"}, None),
        ({}, None),
    ],
)
def test_what_a_terminal_understands(environment: dict[str, str], protocol: str | None) -> None:
    assert protocol_of(environment) == protocol


def test_kitty_gets_a_png_in_chunks() -> None:
    png = bytes(range(256)) * 40

    code = _kitty(png, 28, 14)

    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", code)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in chunks) == code
    assert chunks[0][0] == "a=T,f=100,q=2,C=1,i=1,p=1,c=28,r=14,m=1"
    assert [keys for keys, _ in chunks[1:]] == ["m=1", "m=1", "m=0"]
    assert all(len(data) <= 4096 for _, data in chunks)
    assert base64.b64decode("".join(data for _, data in chunks)) == png


def test_iterm2_gets_it_in_one() -> None:
    code = _iterm2(b"a file", 28, 14)
    assert code == "\x1b]1337;File=inline=1;size=6;width=28;height=14;preserveAspectRatio=1:YSBmaWxl\x07"


@pytest.mark.parametrize("file", [b"", b"GIF89a", file_of((8, 8), "GIF"), file_of((4096, 1))])
def test_what_is_no_small_image_is_not_shown(file: bytes) -> None:
    assert png_of(file) is None


def test_a_preview_becomes_a_png() -> None:
    decoded = png_of(file_of((6, 4)))
    assert decoded is not None
    with Image.open(io.BytesIO(decoded[0])) as image:
        assert (image.format, image.size, decoded[1:]) == ("PNG", (6, 4), (6, 4))
