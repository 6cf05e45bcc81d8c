"""Images of every kind, whole and damaged: made into a video or refused, soon and in little memory."""

import io
import random
import time
import zlib
from collections.abc import Iterator

import httpx
import psutil
import pytest
from PIL import Image

from tests.frontend.media.image_files import (
    IDAT,
    IEND,
    file_of,
    jpeg_of,
    jpeg_segment,
    photo,
    png_chunk,
    png_header,
    png_of,
    riff_chunk,
    webp_of,
)
from tests.server.running_server import RunningServer

from .conftest import Effort

SOON = 30.0
"""seconds; most take a tenth"""
MODEL = "tiny-i2v"


def whole() -> Iterator[tuple[str, bytes]]:
    """Name and file of images that are fine."""
    image = photo(40, 24)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield f"PNG {mode}", file_of(image.convert("I;16" if mode == "I;16" else mode))
    for mode in ("L", "RGB", "CMYK"):
        yield f"JPEG {mode}", file_of(image.convert(mode), "JPEG")
    yield "progressive JPEG", file_of(image, "JPEG", progressive=True)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"JPEG turned {orientation}", file_of(image, "JPEG", exif=exif)
    yield "WebP", file_of(image, "WEBP")
    yield "lossless WebP", file_of(image.convert("RGBA"), "WEBP", lossless=True)
    yield "one pixel", file_of(image.resize((1, 1)))
    yield "a long strip", file_of(image.resize((4000, 1)))


def refused() -> Iterator[tuple[str, bytes]]:
    """Name and file of what is none, is damaged, or costs too much."""
    image = photo(40, 24)
    frames = [image, image.rotate(90)]
    yield "empty", b""
    yield "junk", random.Random(0).randbytes(5000)
    for kind in ("GIF", "TIFF", "BMP", "PPM", "ICO", "PDF"):
        yield kind, file_of(image, kind)
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    for kind in ("PNG", "WEBP"):
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:])
        yield f"animated {kind}", file.getvalue()
    rows = zlib.compress(bytes(13_000 * (1 + 13_000 * 4)), 9)
    yield "a bomb", png_of(png_header(13_000, 13_000, colour=6), png_chunk(b"IDAT", rows), IEND)
    yield "a large claim", png_of(png_header(2**31 - 1, 2**31 - 1), IDAT, IEND)
    yield "no pixels", png_of(png_header(), IEND)
    yield "no end", png_of(png_header(), IDAT)
    yield "a text bomb", png_of(png_header(), png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**28), 9)), IEND)
    yield "many chunks", png_of(png_header(), png_chunk(b"tEXt") * 2_500_000, IDAT, IEND)
    yield "many segments", jpeg_of(jpeg_segment(0xFE) * 8_000_000)
    yield "many fill bytes", b"\xff\xd8" + b"\xff" * 31_000_000
    yield "many WebP chunks", webp_of(riff_chunk(b"XXXX") * 3_900_000)
    for kind in ("PNG", "JPEG", "WEBP"):
        file_bytes = file_of(image, kind)
        for part in (0.2, 0.5, 0.9, 0.99):
            yield f"{kind}, {part:.0%} of it", file_bytes[: int(len(file_bytes) * part)]


def flipped(count: int) -> Iterator[tuple[str, bytes]]:
    """Files with a changed bit."""
    rng = random.Random(1)
    files = [file_of(photo(40, 24), kind) for kind in ("PNG", "JPEG", "WEBP")]
    for i in range(count):
        file = bytearray(rng.choice(files))
        file[rng.randrange(len(file))] ^= 1 << rng.randrange(8)
        yield f"bit {i}", bytes(file)


def answer(server: RunningServer, file: bytes) -> httpx.Response:
    data = {"prompt": "it moves", "model": MODEL, "num_inference_steps": "1", "size": "32x32", "num_frames": "1"}
    return httpx.post(f"{server.url}/v1/videos", data=data, files={"input_reference": file}, timeout=2 * SOON)


def resident(server: RunningServer) -> int:
    """Bytes of the frontend and of the processes that decode images."""
    frontend = server.process("-m frontend")
    return sum(process.memory_info().rss for process in [frontend, *frontend.children(recursive=True)])


def test_images_that_are_fine_are_taken(server: RunningServer) -> None:
    statuses = {name: answer(server, file).status_code for name, file in whole()}
    assert statuses == dict.fromkeys(statuses, 200)
    assert len(statuses) == 23


@pytest.mark.usefixtures("survives")
def test_others_are_refused_soon_and_in_little_memory(server: RunningServer) -> None:
    before = resident(server)
    faults = []
    for name, file in refused():
        started = time.monotonic()
        response = answer(server, file)
        seconds = time.monotonic() - started
        if response.status_code != 400 or response.json()["error"]["param"] != "input_reference" or seconds > SOON:
            faults.append(f"{name}: {response.status_code} after {seconds:.1f} s: {response.text[:200]}")
    assert faults == []
    assert resident(server) < before + 300 * 2**20


@pytest.mark.usefixtures("survives")
def test_a_changed_bit_is_no_fault_of_the_server(server: RunningServer, effort: Effort) -> None:
    statuses = {answer(server, file).status_code for _, file in flipped(effort.examples)}
    assert statuses <= {200, 400}


def test_the_processes_that_decode_are_few(server: RunningServer) -> None:
    assert len(server.process("-m frontend").children(recursive=True)) <= 2
    assert all(child.status() != psutil.STATUS_ZOMBIE for child in server.process("-m frontend").children())
