import pytest

from protocol.printable import printable, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ein Fuchs läuft, 狐 🦊", "ein Fuchs läuft, 狐 🦊"),
        ("\x1b[2J", r"\x1b[2J"),  # C0
        ("a\r\nb\tc\0", r"a\r\nb\tc\x00"),
        ("\x7f\x9b2J", r"\x7f\x9b2J"),  # DEL and C1
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),  # writes from right to left
        ("\u2028\u2029\x85", r"\u2028\u2029\x85"),  # ends of lines
        ("\ud800", r"\ud800"),  # no character
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()
    assert quoted(text) == f"'{shown}'"


def test_long_text_is_cut() -> None:
    assert printable("x" * 10, 4) == "xxxx..."
    assert printable("xxxx", 4) == "xxxx"
    assert quoted("x" * 10, 4) == "'xxxx'..."
    assert quoted("xxxx", 4) == "'xxxx'"
