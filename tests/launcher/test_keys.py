"""`tritonreel keys`, run as a person runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from frontend.http.api_keys import KeyFile, hash_of
from frontend.http.key_limits import KeyLimits


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "launcher", "keys", *arguments]
    return subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    process = start(*arguments, **environment)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_from_its_making_to_its_end(file: Path) -> None:
    added = run("add", "laptop", "--keys-file", str(file))
    assert added.returncode == 0
    assert re.fullmatch(r"tr_[A-Za-z0-9_-]{43}\n", added.stdout)  # nothing else: KEY=$(tritonreel keys add laptop)
    assert str(file) in added.stderr
    assert added.stdout.strip() not in added.stderr
    (kept,) = KeyFile(file).read()
    assert kept.sha256 == hash_of(added.stdout.strip().encode())

    listed = run("list", TRITONREEL_KEYS_FILE=str(file))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC  laptop\n", listed.stdout)
    assert kept.sha256 not in listed.stdout + listed.stderr

    revoked = run("revoke", "laptop", "--keys-file", str(file))
    assert (revoked.returncode, KeyFile(file).read()) == (0, ())
    listed = run("list", "--keys-file", str(file))
    assert (listed.returncode, listed.stdout) == (0, "")
    assert f"There are no keys in {file}." in listed.stderr


def test_an_administrators_key_is_one_from_its_making(file: Path) -> None:
    run("add", "laptop", "--keys-file", str(file))
    run("add", "root", "--admin", "--keys-file", str(file))
    assert {key.name: key.admin for key in KeyFile(file).read()} == {"laptop": False, "root": True}
    assert "admin" not in file.read_text().partition("root")[0]  # an earlier release can read a file without one
    listed = run("list", "--keys-file", str(file)).stdout.splitlines()
    assert [line.partition("UTC  ")[2] for line in listed] == ["laptop", "root  (admin)"]


def test_the_limits_of_a_key_are_shown_and_changed(file: Path) -> None:
    where = ("--keys-file", str(file))
    run("add", "laptop", "--max-jobs", "4", "--requests-per-minute", "60", "--priority", "low", *where)
    run("limit", "laptop", "--seconds-per-day", "3600", *where)
    assert run("list", *where).stdout.endswith(
        "  laptop  at most 4 jobs, 60 creates per minute, 3600 seconds of jobs per day, low priority\n"
    )
    changed = run("limit", "laptop", "--max-jobs", "0", "--seconds-per-day", "0", "--priority", "high", *where)
    assert (changed.returncode, changed.stderr) == (0, "laptop: 60 creates per minute, high priority\n")
    (kept,) = KeyFile(file).read()
    assert kept.limits == KeyLimits(requests_per_minute=60, priority="high")


def test_keys_are_the_users_own_by_default(tmp_path: Path) -> None:
    assert run("add", "laptop", XDG_CONFIG_HOME=str(tmp_path)).returncode == 0
    assert [key.name for key in KeyFile(tmp_path / "tritonreel" / "keys.json").read()] == ["laptop"]


def test_two_that_add_at_the_same_time(file: Path) -> None:
    adders = [start("add", name, "--keys-file", str(file)) for name in ("laptop", "phone")]
    keys = [adder.communicate(timeout=60)[0].strip() for adder in adders]
    assert {key.sha256 for key in KeyFile(file).read()} == {hash_of(key.encode()) for key in keys}
    assert len(set(keys)) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "a b"), "The name of a key is 1 to 64"),
        (("revoke", "nobody"), "There is no key 'nobody'"),
        (("limit", "nobody", "--max-jobs", "1"), "There is no key 'nobody'"),
        (("add", "environment"), "TRITONREEL_API_KEY"),
    ],
)
def test_mistakes_are_told_in_a_sentence(file: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*arguments, "--keys-file", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not file.exists()


@pytest.mark.parametrize("command", [("list",), ("add", "laptop"), ("revoke", "laptop")])
def test_a_broken_file_is_told_and_left_alone(file: Path, command: tuple[str, ...]) -> None:
    file.write_text("{")
    done = run(*command, "--keys-file", str(file))
    assert done.returncode == 1
    assert f"{file} is not a file of API keys" in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_text() == "{"


def test_help_teaches() -> None:
    text = run("--help").stdout
    for command in ("add", "list", "revoke"):
        assert command in text
    assert "this once" in run("add", "--help").stdout
