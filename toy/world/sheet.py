"""Images of several videos, to look at: a contact sheet, and an animation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _FAULT = (250, 250, 250), (40, 40, 40), (190, 30, 30)
_GAP = 4
_FONT_SIZE = 13
_LINE = 17


@dataclass(frozen=True)
class Exhibit:
    """A video, uint8 or float 0..1 [frames, height, width, RGB], with lines of text; `fault` is one in red."""

    frames: NDArray[Any]
    text: str
    fault: str = ""


def contact_sheet(exhibits: Sequence[Exhibit], columns: int = 2, shown: int = 5, scale: int = 2) -> Image.Image:
    """All videos in a grid, each as up to `shown` frames from first to last, `scale` times as large, over its text."""
    cells = [_strip(exhibit, shown, scale) for exhibit in exhibits]
    return _grid(cells, columns)


def animation(exhibits: Sequence[Exhibit], columns: int, scale: int = 2) -> list[Image.Image]:
    """The frames of all videos side by side, each over its text; shorter videos keep their last frame."""
    length = max(len(exhibit.frames) for exhibit in exhibits)
    return [
        _grid(
            [
                _cell(_beside_one_another([exhibit.frames[min(i, len(exhibit.frames) - 1)]], scale), exhibit)
                for exhibit in exhibits
            ],
            columns,
        )
        for i in range(length)
    ]


def save_animation(images: Sequence[Image.Image], path: Path, fps: float, pause: float = 0.6) -> None:
    """As an endless WebP or GIF, by the name's ending; the last image stays `pause` seconds longer."""
    milliseconds = [round(1000 / fps)] * len(images)
    milliseconds[-1] += round(1000 * pause)
    options: dict[str, Any] = {"lossless": True, "method": 4} if path.suffix == ".webp" else {"disposal": 2}
    first, *rest = images
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0, **options)


def _strip(exhibit: Exhibit, shown: int, scale: int) -> Image.Image:
    count = min(shown, len(exhibit.frames))
    chosen = np.linspace(0, len(exhibit.frames) - 1, count).round().astype(int)
    return _cell(_beside_one_another([exhibit.frames[i] for i in chosen], scale), exhibit)


def _beside_one_another(frames: Sequence[NDArray[Any]], scale: int) -> Image.Image:
    """Frames in a row, `scale` times as large."""
    height, width = frames[0].shape[:2]
    strip = Image.new("RGB", (len(frames) * (width * scale + _GAP) - _GAP, height * scale), _PAPER)
    for i, frame in enumerate(frames):
        pixels = frame if frame.dtype == np.uint8 else (frame.clip(0, 1) * 255).round().astype(np.uint8)
        large = Image.fromarray(pixels).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        strip.paste(large, (i * (width * scale + _GAP), 0))
    return strip


def _cell(image: Image.Image, exhibit: Exhibit) -> Image.Image:
    """`image` with its text below, broken where it is wider."""
    font = ImageFont.load_default(_FONT_SIZE)
    lines = [(line, _INK) for line in _broken(exhibit.text, font, image.width)]
    lines += [(line, _FAULT) for line in _broken(exhibit.fault, font, image.width)]
    cell = Image.new("RGB", (image.width, image.height + _LINE * len(lines) + _GAP), _PAPER)
    cell.paste(image)
    draw = ImageDraw.Draw(cell)
    for i, (line, ink) in enumerate(lines):
        draw.text((0, image.height + 1 + i * _LINE), line, fill=ink, font=font)
    return cell


def _broken(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _grid(cells: Sequence[Image.Image], columns: int) -> Image.Image:
    width = max(cell.width for cell in cells) + 2 * _GAP
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) + 2 * _GAP for row in rows]
    sheet = Image.new("RGB", (width * min(columns, len(cells)), sum(heights)), _PAPER)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            sheet.paste(cell, (j * width + _GAP, sum(heights[:i]) + _GAP))
    return sheet
