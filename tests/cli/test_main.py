"""Which command a line means, and how quickly it is found."""

import subprocess
import sys
from importlib import import_module

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from cli.__main__ import _COMMANDS, app


def test_the_overview_imports_nothing_that_takes_long() -> None:
    check = (
        "import sys; sys.argv = ['tritonreel', '--help']\n"
        "from cli.__main__ import app\n"
        "try:\n    app()\n"
        "except SystemExit:\n    pass\n"
        "print({'torch', 'httpx', 'pydantic', 'numpy', 'rich', 'launcher', 'frontend'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert "tritonreel video" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("command", ["video", "image", "jobs", "models", "bench"])
def test_clients_need_nothing_of_a_server(command: str) -> None:
    of_servers = {"torch", "psutil", "launcher", "fastapi", "dbos", "sqlalchemy", "tritonclient", "av"}
    check = f"import sys, {_COMMANDS[command][0]}\nprint({of_servers} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("command", _COMMANDS)
def test_the_overview_says_of_a_command_what_it_says_of_itself(command: str) -> None:
    module, name, summary = _COMMANDS[command]
    found = getattr(import_module(module), name)
    command_of_it = get_command(found) if isinstance(found, typer.Typer) else None
    said = found.__doc__ if command_of_it is None else command_of_it.help
    assert said is not None
    assert said.startswith(summary.rstrip("."))
    shown = CliRunner().invoke(app, [command, "--help"])
    assert (shown.exit_code, shown.stderr) == (0, "")


@pytest.mark.parametrize("line", [["--port", "x"], ["serve", "--port", "x"]])
def test_options_without_a_command_are_those_of_serve(line: list[str]) -> None:
    refused = CliRunner().invoke(app, line)
    assert refused.exit_code == 2
    assert "--port" in refused.stderr


def test_a_wrong_word() -> None:
    refused = CliRunner().invoke(app, ["vidio"])
    assert refused.exit_code == 2
    assert "Did you mean 'video'?" in refused.stderr
