"""JPEG files: their header, and whether they are whole."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from frontend.media.exif import UPRIGHT, orientation_of_exif, orientation_of_xmp
from frontend.media.image_header import DamagedImage, ImageHeader, UnsupportedImage

SIGNATURE = b"\xff\xd8\xff"

MAX_SEGMENTS = 4096
"""an upload full of metadata, in segments of 64 kB, has 512"""
MAX_SCANS = 64
"""encoders write about ten; each one makes the decoder go over all pixels"""

_SOI, _EOI, _SOS, _DRI = 0xD8, 0xD9, 0xDA, 0xDD
_CODED = 0  # no marker, but the pixels that follow the header of a scan
_BASELINE, _EXTENDED, _PROGRESSIVE, _ARITHMETIC, _PROGRESSIVE_ARITHMETIC = 0xC0, 0xC1, 0xC2, 0xC9, 0xCA
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_DECODED_FRAMES = frozenset({_BASELINE, _EXTENDED, _PROGRESSIVE, _ARITHMETIC, _PROGRESSIVE_ARITHMETIC})
# Besides frames and scans: Huffman tables, arithmetic conditioning, quantization tables, restart interval.
_TABLES = frozenset({0xC4, 0xCC, 0xDB, _DRI})
# Of the metadata, these two say what the colours are: APP0, APP14.
_COLOURS = {0xE0: b"JFIF", 0xEE: b"Adobe"}
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"

_FILL = re.compile(rb"\xff+")
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# Python's other threads stand still while a regular expression is searched for.
_WINDOW_BYTES = 1 << 18
PAST_THE_END = b"\0" * 16
"""what libjpeg may read ahead of the last pixel"""


class _Segment(NamedTuple):
    marker: int
    start: int
    """where its data is in the file, after the length"""
    end: int


class _Component(NamedTuple):
    id: int
    across: int
    """sampling factors"""
    down: int


@dataclass(frozen=True)
class _Frame:
    kind: int
    width: int
    height: int
    components: tuple[_Component, ...]

    @property
    def progressive(self) -> bool:
        return self.kind in (_PROGRESSIVE, _PROGRESSIVE_ARITHMETIC)

    @property
    def arithmetic(self) -> bool:
        return self.kind in (_ARITHMETIC, _PROGRESSIVE_ARITHMETIC)

    def units(self, components: tuple[_Component, ...]) -> int:
        """What restart intervals count in a scan of these components: blocks of one, or groups of blocks of several."""
        across = max(component.across for component in self.components)
        down = max(component.down for component in self.components)
        if len(components) > 1:
            return -(-self.width // (8 * across)) * -(-self.height // (8 * down))
        (one,) = components
        return -(-self.width * one.across // (8 * across)) * -(-self.height * one.down // (8 * down))


class _Scan(NamedTuple):
    components: tuple[_Component, ...]
    first: int
    """of the 64 coefficients of a block"""
    last: int
    already: int
    """the bit that an earlier scan had as its lowest, 0 if there was none"""
    lowest: int


def read_header(file: bytes) -> ImageHeader:
    """Walks over the segments before the first scan. Previews, which cameras put behind the image, do not matter.

    Raises:
        DamagedImage: they are not what a JPEG has to have.
        UnsupportedImage: there are more than `MAX_SEGMENTS` of them, or the pixels are in a form that nothing decodes.
    """
    frame = None
    exif: int | None = None
    xmp: int | None = None
    for segment in _segments(file):
        if segment.marker == _SOS:
            break
        data = memoryview(file)[segment.start : segment.end]
        if segment.marker in _FRAMES:
            frame = _frame_of(segment, data, frame)
        elif segment.marker == 0xE1 and data[: len(_EXIF)] == _EXIF:
            exif = exif or orientation_of_exif(data)
        elif segment.marker == 0xE1 and data[: len(_XMP)] == _XMP:
            xmp = xmp or orientation_of_xmp(data)
    if frame is None:
        raise DamagedImage("there is no frame header before the first scan")
    return ImageHeader(frame.width, frame.height, exif or xmp or UPRIGHT)


def checked(file: bytes) -> bytes:
    """The same image as a JPEG without metadata, after a look at whether all scans are there and long enough.

    What libjpeg finds wrong within the pixels it only warns of, which Pillow does not pass on. It waits for more,
    though, when it comes to the end of the file and not to the end of the image. So in the form that most files have
    (one scan, Huffman coded) the end of the image is left out, and pixels that are missing are an error.

    Raises:
        DamagedImage: something is missing, and as `read_header`.
        UnsupportedImage: there are more than `MAX_SCANS` scans, and as `read_header`.
    """
    view = memoryview(file)
    parts: list[bytes | memoryview] = [SIGNATURE[:2]]
    frame: _Frame | None = None
    scans: list[_Scan] = []
    interval = 0
    for segment in _segments(file):
        marker, start, end = segment
        data = view[start:end]
        if marker in _FRAMES:
            frame = _frame_of(segment, data, frame)
        elif marker == _DRI:
            interval = _restart_interval(data)
        elif marker == _SOS:
            if frame is None:
                raise DamagedImage("there is a scan before the frame header")
            scans.append(_scan_of(data, frame))
            if len(scans) > MAX_SCANS:
                raise UnsupportedImage(f"the image has more than {MAX_SCANS} scans, save it again")
        elif marker == _CODED:
            assert frame is not None
            _check_scan(file, segment, scans[-1], frame, interval)
            parts.append(data)
            continue
        elif marker not in _TABLES and not (marker in _COLOURS and data[:5].tobytes().startswith(_COLOURS[marker])):
            continue
        parts.append(view[start - 4 : end])
    if frame is None or not scans:
        raise DamagedImage("there is no scan")
    _check_complete(scans, frame)
    single = len(scans) == 1 and not frame.progressive and not frame.arithmetic
    parts.append(PAST_THE_END if single else bytes((0xFF, _EOI)))
    return b"".join(parts)


def _segments(file: bytes) -> Iterator[_Segment]:
    """From SOI to EOI, without both, and with the coded pixels of a scan as a segment of its own.

    What follows EOI is no part of the image.
    """
    position = 2
    for _ in range(MAX_SEGMENTS):
        fill = _FILL.match(file, position)
        if fill is None or fill.end() == len(file):
            raise DamagedImage("it ends, or has something else, where a marker has to be")
        marker = file[fill.end()]
        if marker == _EOI:
            return
        if marker < 0xC0 or 0xD0 <= marker <= _SOI:
            raise DamagedImage(f"marker {marker:#x} cannot be here")
        length_at = fill.end() + 1
        length = int.from_bytes(file[length_at : length_at + 2], "big")
        start, end = length_at + 2, length_at + length
        if length < 2 or end > len(file):
            raise DamagedImage(f"it ends within the segment of marker {marker:#x}")
        yield _Segment(marker, start, end)
        position = end
        if marker == _SOS:
            position = _end_of_scan(file, end)
            yield _Segment(_CODED, end, position)
    raise UnsupportedImage(f"the image has more than {MAX_SEGMENTS:,} segments, save it again")


def _end_of_scan(file: bytes, start: int) -> int:
    """Where the marker after the coded pixels is. Raises DamagedImage."""
    while start < len(file):
        # A marker has two bytes: the windows overlap by one.
        if found := _MARKER.search(file, start, start + _WINDOW_BYTES + 1):
            return found.start()
        start += _WINDOW_BYTES
    raise DamagedImage("it ends within a scan")


def _frame_of(segment: _Segment, data: memoryview, earlier: _Frame | None) -> _Frame:
    if earlier is not None:
        raise DamagedImage("there are two frame headers")
    if segment.marker not in _DECODED_FRAMES:
        raise UnsupportedImage("lossless and hierarchical JPEG are not supported, save the image as an ordinary JPEG")
    if len(data) < 6 or len(data) != 6 + 3 * data[5]:
        raise DamagedImage("the frame header has the wrong length")
    precision, height, width, count = struct.unpack_from(">BHHB", data)
    if precision != 8:
        raise UnsupportedImage("JPEG with other than 8 bits per sample is not supported, save it with 8")
    components = tuple(_Component(data[at], data[at + 1] >> 4, data[at + 1] & 15) for at in range(6, len(data), 3))
    if not (width and height and count in (1, 3, 4) and len({one.id for one in components}) == count):
        raise DamagedImage("the frame header has no size or the wrong components")
    if not all(1 <= one.across <= 4 and 1 <= one.down <= 4 for one in components):
        raise DamagedImage("the frame header has wrong sampling factors")
    return _Frame(segment.marker, width, height, components)


def _scan_of(data: memoryview, frame: _Frame) -> _Scan:
    count = data[0] if data else 0
    if not 1 <= count <= 4 or len(data) != 4 + 2 * count:
        raise DamagedImage("a scan header has the wrong length")
    known = {component.id: component for component in frame.components}
    ids = [data[1 + 2 * number] for number in range(count)]
    if len({*ids}) != count or not known.keys() >= {*ids}:
        raise DamagedImage("a scan has components that the frame has not")
    first, last, bits = data[-3:]
    if frame.progressive and not (first <= last < 64 and (last == 0 if first == 0 else count == 1)):
        raise DamagedImage("a scan has coefficients that there are not")
    return _Scan(tuple(known[one] for one in ids), first, last, bits >> 4, bits & 15)


def _restart_interval(data: memoryview) -> int:
    if len(data) != 2:
        raise DamagedImage("DRI has the wrong length")
    return int.from_bytes(data, "big")


def _check_scan(file: bytes, coded: _Segment, scan: _Scan, frame: _Frame, interval: int) -> None:
    """Raises DamagedImage: the scan is shorter than it can be, or restart markers are missing."""
    units = frame.units(scan.components)
    size = coded.end - coded.start
    if not frame.arithmetic and scan.first == 0 and scan.already == 0:
        # A block has at least a bit for its mean, and one for the end of its other coefficients if they follow.
        bits = units * len(scan.components) * (1 if frame.progressive else 2)
        if size * 8 < bits:
            raise DamagedImage("a scan is too short")
    if size == 0:
        raise DamagedImage("a scan is empty")
    if interval:
        stretches = -(-units // interval)
        if _restart_markers(file, coded, at_most=stretches) < stretches - 1:
            raise DamagedImage("restart markers are missing")


def _restart_markers(file: bytes, coded: _Segment, at_most: int) -> int:
    """How many there are, one after the other. Raises DamagedImage. Some encoders write one at the end, too."""
    count = 0
    for window in range(coded.start, coded.end, _WINDOW_BYTES):
        for found in _RESTART.finditer(file, window, min(window + _WINDOW_BYTES + 1, coded.end)):
            if file[found.end() - 1] != 0xD0 + count % 8 or count == at_most:
                raise DamagedImage("restart markers are out of order")
            count += 1
    return count


def _check_complete(scans: list[_Scan], frame: _Frame) -> None:
    """Raises DamagedImage: scans do not go on from each other, or a coefficient is not there down to its lowest bit."""
    unseen = -1
    lowest = {one.id: [unseen] * (64 if frame.progressive else 1) for one in frame.components}
    for scan in scans:
        bands = range(scan.first, scan.last + 1) if frame.progressive else range(1)
        before = scan.already if frame.progressive and scan.already else unseen
        after = scan.lowest if frame.progressive else 0
        for one in scan.components:
            if any(lowest[one.id][band] != before for band in bands) or (before != unseen and after != before - 1):
                raise DamagedImage("a scan is missing before another one, or there twice")
            for band in bands:
                lowest[one.id][band] = after
    if any(bit for bits in lowest.values() for bit in bits):
        raise DamagedImage("the last scans are missing")
