"""Sizes of memory as people write them: `24GB` or `24GiB`."""

import re

_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"([+-]?\d{1,12}(?:\.\d{1,12})?)\s*([MGT]i?B)", re.ASCII | re.IGNORECASE)


def parse_memory_size(text: str) -> int | None:
    """Bytes, which may be none or fewer; None where it is no size."""
    match = _SIZE.fullmatch(text.strip())
    return int(float(match[1]) * _UNITS[match[2].upper()]) if match else None
