"""A server that others can reach does not start without keys by mistake."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from frontend.app import create_app
from frontend.http.access import AccessError, decide_access, is_loopback
from frontend.http.api_keys import KeyFile
from frontend.settings import Settings
from tests.frontend.fake_generator import FakeGenerator

LOOPBACK = ["127.0.0.1", "127.8.9.10", "::1", "localhost", "::ffff:127.0.0.1", "127.1"]
BEYOND = ["0.0.0.0", "::", "192.168.1.5", "fe80::1", "::ffff:0.0.0.0", "0", "", "no.such.host.invalid", "a" * 70]


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_is_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", BEYOND)
def test_anything_else_is_not(host: str) -> None:
    assert not is_loopback(host)


def test_one_address_beyond_loopback_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", (address, 0)) for address in ("127.0.0.1", "192.168.1.5")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert not is_loopback("both.example")
    del found[1]
    assert is_loopback("both.example")


@pytest.mark.parametrize("host", BEYOND)
def test_beyond_loopback_it_starts_with_a_key_or_when_told_to(file: KeyFile, host: str) -> None:
    with pytest.raises(AccessError) as error:
        decide_access(host, file.path, None, no_auth=False)
    assert "`tritonreel keys add NAME`" in str(error.value)
    assert "--no-auth" in str(error.value)
    file.add("laptop")
    access = decide_access(host, file.path, None, no_auth=False)
    assert (access.asks_for_keys, access.exposed) == (True, False)
    assert "laptop" in access.notice
    file.revoke("laptop")
    with pytest.raises(AccessError):
        decide_access(host, file.path, None, no_auth=False)
    assert decide_access(host, file.path, "a-key-for-a-container", no_auth=False).asks_for_keys
    access = decide_access(host, file.path, "a-key-for-a-container", no_auth=True)
    assert (access.asks_for_keys, access.exposed) == (False, True)
    assert "ANYONE WHO CAN REACH" in access.notice


@pytest.mark.parametrize("host", LOOPBACK)
def test_on_loopback_it_asks_for_keys_once_there_are_some(file: KeyFile, host: str) -> None:
    access = decide_access(host, file.path, None, no_auth=False)
    assert (access.asks_for_keys, access.exposed) == (False, False)
    assert access.notice.startswith("no API key is asked for")
    file.add("laptop")
    assert decide_access(host, file.path, None, no_auth=False).asks_for_keys
    file.revoke("laptop")
    access = decide_access(host, file.path, None, no_auth=False)
    assert access.asks_for_keys
    assert "has none" in access.notice
    access = decide_access(host, file.path, None, no_auth=True)
    assert (access.asks_for_keys, access.exposed) == (False, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_does_not_start_with_keys_that_cannot_be_read(file: KeyFile, host: str) -> None:
    file.path.write_text("{")
    with pytest.raises(AccessError, match="is not a file of API keys"):
        decide_access(host, file.path, None, no_auth=False)
    assert not decide_access(host, file.path, None, no_auth=True).asks_for_keys


def test_the_application_decides(file: KeyFile) -> None:
    with pytest.raises(AccessError):
        create_app(Settings(host="0.0.0.0", keys_file=file.path), FakeGenerator())
    create_app(Settings(host="0.0.0.0", keys_file=file.path, no_auth=True), FakeGenerator())


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"TRITONREEL_HOST": "0.0.0.0"}, "tritonreel keys add NAME"),
        ({"TRITONREEL_HOST": "0.0.0.0", "TRITONREEL_API_KEY": ""}, "tritonreel keys add NAME"),
        ({"TRITONREEL_API_KEY": "changeme"}, "TRITONREEL_API_KEY must have at least 16"),
        ({"TRITONREEL_KEYS_FILE": "/"}, "is not a regular file"),
    ],
)
def test_the_frontend_alone_says_so_in_a_sentence(environment: dict[str, str], sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "frontend"],
        env=os.environ | {"TRITONREEL_PORT": "0"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "changeme" not in done.stderr


def test_servers_on_the_command_line_are_checked() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "frontend", "--triton-url", "gpu-1:8001,gpu-2"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "triton_url: Value error, 'gpu-2' is not the address of a server; write it like" in done.stderr
