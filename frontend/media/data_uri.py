"""`data:` URIs (RFC 2397)."""

import binascii

from frontend.errors import InvalidImage

_MARK = ";base64"
_LONGEST_HEAD = 1_000
"""characters before the data"""
_PIECE = 4 * 1024 * 1024
"""characters decoded in one call, a multiple of four; between two of them other threads get their turn"""


def bytes_of_data_uri(uri: str, field: str) -> bytes:
    """What a `data:...;base64,` URI holds; the type that it declares does not matter, nor do capitals.

    Raises:
        InvalidImage: it is another kind of URL, or not base64.
    """
    comma = uri.find(",", 0, _LONGEST_HEAD)
    head = uri[: max(comma, 0)].lower()
    if not (head.startswith("data:") and head.endswith(_MARK)):
        raise InvalidImage("must be a data: URI in base64, like data:image/png;base64,iVBORw0KGgo...", field)
    pieces = []
    try:
        for start in range(comma + 1, len(uri), _PIECE):
            piece = uri[start : start + _PIECE]
            if "=" in piece and start + _PIECE < len(uri):
                raise ValueError("there is more behind the padding")
            pieces.append(binascii.a2b_base64(piece, strict_mode=True))
    except ValueError:
        raise InvalidImage("the data: URI is not valid base64", field) from None
    return b"".join(pieces)
