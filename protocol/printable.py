"""A client's text made fit for messages and log lines."""

LONGEST = 200
"""characters of a client's text that are repeated to it, or logged"""


def printable(text: str, longest: int | None = None) -> str:
    """`text` with everything that is not printable written as Python escapes it: one line of plain text.

    So no terminal that shows it obeys what a client wrote (`\\x1b[2J` clears the screen, U+202E turns the line around),
    no line of a log can be forged, and it can be encoded: lone surrogates are escaped too.

    Args:
        longest: characters after which it is cut, if any.
    """
    if longest is not None and len(text) > longest:
        text = text[:longest] + "..."
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quoted(text: str, longest: int = LONGEST) -> str:
    """`text` in quotes, printable and not too long."""
    return repr(text) if len(text) <= longest else f"{text[:longest]!r}..."
