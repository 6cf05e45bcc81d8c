import pytest

from cli.output_files import slug


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red circle, moves right!", "a-red-circle-moves-right"),
        ("../../etc/passwd", "etc-passwd"),
        ("-rf *", "rf"),
        ("\x1b[2J\n", "2j"),
        ("ein Fuchs läuft", "ein-fuchs-läuft"),
        ("狐が走る", "狐が走る"),
        ("word " * 30, "word-word-word-word-word-word-word-word"),
        ("...", ""),
    ],
)
def test_a_prompt_as_a_name(prompt: str, name: str) -> None:
    assert slug(prompt) == name
