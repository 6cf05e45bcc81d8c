"""What the shell is offered."""

import socket
import time

import pytest
from typer.testing import CliRunner

from cli import completion
from cli.__main__ import app
from tests.frontend.conftest import NOWHERE


def complete(line: str, word: int, **environment: str) -> list[str]:
    """What bash offers for a word of a line."""
    variables = {"_TRITONREEL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(word), **environment}
    return CliRunner().invoke(app, [], prog_name="tritonreel", env=variables).stdout.split()


def test_models_of_the_server(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "_SECONDS", 60.0)  # the machine may be busy
    assert complete("tritonreel video --model toy-w", 3) == ["toy-wan-t2v", "toy-wan-i2v"]
    assert complete(f"tritonreel image --url {url} --model toy-", 5, TRITONREEL_URL="") == ["toy-qwen-image"]
    assert complete("tritonreel image --model ", 3, TRITONREEL_URL=NOWHERE.removesuffix("/metrics")) == []


def test_commands_and_options() -> None:
    assert complete("tritonreel jo", 1) == ["jobs"]
    assert complete("tritonreel video --guidance-s", 2) == ["--guidance-scale", "--guidance-scale-2"]
    assert complete("tritonreel jobs c", 2) == ["cancel"]
    assert complete("tritonreel video --solver ", 3) == ["unipc", "euler"]


def test_a_server_that_says_nothing_holds_the_shell_up_for_a_second() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        assert complete("tritonreel video --model ", 3, TRITONREEL_URL=url) == []
        assert time.monotonic() - began < 5  # the second, and what a busy machine adds
