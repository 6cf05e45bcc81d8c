"""The orientation of an image, from its metadata. Metadata that cannot be read says nothing and spoils nothing."""

import re
import struct
import zlib

UPRIGHT = 1
_TAG = 0x0112
_PREFIX = b"Exif\0\0"
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
# The types of an EXIF entry that an orientation may have: SHORT, and LONG although it should not.
_TYPES = {3: "H", 4: "I"}
_ENTRY_BYTES = 12
_MAX_ENTRIES = 1024
_MAX_TEXT_BYTES = 1 << 20
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation_of_exif(exif: bytes | memoryview) -> int | None:
    """1 to 8, or None where the first directory does not say. A leading `Exif\\0\\0` is skipped."""
    start = len(_PREFIX) if exif[: len(_PREFIX)] == _PREFIX else 0
    order = _BYTE_ORDERS.get(bytes(exif[start : start + 4]))
    if order is None:
        return None
    try:
        directory = start + struct.unpack_from(f"{order}I", exif, start + 4)[0]
        (entries,) = struct.unpack_from(f"{order}H", exif, directory)
        for number in range(min(entries, _MAX_ENTRIES)):
            entry = directory + 2 + number * _ENTRY_BYTES
            tag, kind, count = struct.unpack_from(f"{order}HHI", exif, entry)
            if tag == _TAG:
                known = kind in _TYPES and count == 1
                return _valid(struct.unpack_from(order + _TYPES[kind], exif, entry + 8)[0]) if known else None
    except struct.error:  # it points outside of itself
        pass
    return None


def orientation_of_xmp(xmp: bytes | memoryview) -> int | None:
    """1 to 8, or None where the XMP packet does not say."""
    found = _XMP.search(xmp[:_MAX_TEXT_BYTES])
    return _valid(int(found[1])) if found else None


def orientation_of_raw_profile(text: bytes) -> int | None:
    """As `orientation_of_exif`, of EXIF in ImageMagick's form: a name, a length, and lines of hexadecimal digits."""
    try:
        return orientation_of_exif(bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii")))
    except ValueError:
        return None


def inflated(data: bytes | memoryview) -> bytes:
    """A compressed text, or the beginning of a very long one. Empty if it is broken."""
    try:
        return zlib.decompressobj().decompress(data, _MAX_TEXT_BYTES)
    except zlib.error:
        return b""


def _valid(orientation: int) -> int | None:
    return orientation if 1 <= orientation <= 8 else None
