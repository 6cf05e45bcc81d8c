import json
import multiprocessing
import os
import re
import stat
from pathlib import Path

import pytest

from frontend.http.api_keys import KeyFile, KeysError, default_keys_file, hash_of


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "configuration" / "keys.json")


def names(file: KeyFile) -> list[str]:
    return [key.name for key in file.read()]


def test_a_key_is_kept_by_its_hash_alone(file: KeyFile) -> None:
    key = file.add("laptop")
    assert re.fullmatch(r"tr_[A-Za-z0-9_-]{43}", key)
    (kept,) = file.read()
    assert (kept.name, kept.sha256) == ("laptop", hash_of(key.encode()))
    assert key not in file.path.read_text()
    assert key.removeprefix("tr_") not in file.path.read_text()


def test_no_two_keys_are_alike(file: KeyFile) -> None:
    keys = {file.add(f"key-{i}") for i in range(20)}
    assert len(keys) == 20
    assert names(file) == [f"key-{i}" for i in range(20)]


def test_nobody_else_may_read_it(file: KeyFile) -> None:
    umask = os.umask(0)
    try:
        file.add("laptop")
        file.revoke("laptop")
    finally:
        os.umask(umask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [file.path.parent, *file.path.parent.iterdir()]}
    assert modes == {"configuration": 0o700, "keys.json": 0o600, "keys.json.lock": 0o600}


def test_a_revoked_key_is_gone(file: KeyFile) -> None:
    file.add("laptop")
    file.add("phone")
    file.revoke("laptop")
    assert names(file) == ["phone"]
    with pytest.raises(KeysError, match=r"There is no key 'laptop' in .*keys\.json"):
        file.revoke("laptop")


def test_a_name_is_taken_once(file: KeyFile) -> None:
    file.add("laptop")
    before = file.path.read_bytes()
    with pytest.raises(KeysError, match="There is a key 'laptop' already"):
        file.add("laptop")
    assert file.path.read_bytes() == before


@pytest.mark.parametrize("name", ["", "a b", "a\n", "a" * 65, "ä", "a=b", "a/b", "\x1b[31m"])
def test_a_name_is_plain(file: KeyFile, name: str) -> None:
    with pytest.raises(KeysError, match="The name of a key is 1 to 64 letters"):
        file.add(name)
    assert not file.path.exists()


def test_the_environments_key_has_its_name_for_itself(file: KeyFile) -> None:
    with pytest.raises(KeysError, match="TRITONREEL_API_KEY"):
        file.add("environment")


def test_where_there_is_no_file_there_is_no_key(file: KeyFile) -> None:
    assert file.read() == ()
    assert file.stamp() is None


GOOD = '{"name": "a", "sha256": "%s", "created": "2026-11-20T10:00:00Z"}' % ("0" * 64)


def test_what_it_writes_can_be_written_by_hand(file: KeyFile) -> None:
    write(file, f'{{"keys": [{GOOD}]}}')
    assert names(file) == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "{}", '{"keys": {}}', '{"keys": [{}]}', '{"keys": [null]}', '{"keys": []} x', "\x00"),
        *('{"keys": [], "more": 1}', f'{{"keys": [{GOOD}, {GOOD}]}}', "[" * 100_000),
        *(f'{{"keys": [{GOOD.replace("0" * 64, wrong)}]}}' for wrong in ("0" * 63, "0" * 65, "G" * 64, "")),
        *(f'{{"keys": [{GOOD.replace("a", wrong, 1)}]}}' for wrong in ("b", "name")),
        f'{{"keys": [{GOOD.replace("Z", "")}]}}',
    ],
)  # fmt: skip
def test_a_broken_file_is_named_and_never_quoted(file: KeyFile, text: str) -> None:
    write(file, text)
    with pytest.raises(KeysError, match=r"keys\.json is not a file of API keys") as error:
        file.read()
    assert "0000" not in str(error.value)
    with pytest.raises(KeysError):
        file.add("b")  # and what may be in it is not overwritten
    assert file.path.read_text() == text


def write(file: KeyFile, text: str) -> None:
    file.path.parent.mkdir(exist_ok=True)
    file.path.write_text(text)
    file.path.chmod(0o600)


def test_what_is_no_file_is_not_read(file: KeyFile) -> None:
    file.path.mkdir(parents=True)
    with pytest.raises(KeysError, match="not a regular file"):
        file.read()
    file.path.rmdir()
    os.mkfifo(file.path)  # which would be waited for
    with pytest.raises(KeysError, match="not a regular file"):
        file.read()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_may_write_is_not_trusted(file: KeyFile, mode: int) -> None:
    file.add("laptop")
    file.path.chmod(mode)
    with pytest.raises(KeysError, match=r"chmod 600 .*keys\.json"):
        file.read()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("")
    with pytest.raises(KeysError, match=r"occupied/keys\.json cannot be used: (Not a directory|File exists)"):
        KeyFile(tmp_path / "occupied" / "keys.json").add("laptop")


def test_a_link_stays_a_link(file: KeyFile, tmp_path: Path) -> None:
    file.path.parent.mkdir()
    file.path.symlink_to(tmp_path / "elsewhere.json")
    file.add("laptop")
    assert file.path.is_symlink()
    assert names(file) == ["laptop"]


def test_nothing_half_written_is_left(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.add("laptop")
    before = file.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeysError, match="No space left on device"):
        file.add("phone")
    assert file.path.read_bytes() == before
    assert sorted(path.name for path in file.path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_those_who_add_at_the_same_time_lose_nothing(file: KeyFile) -> None:
    context = multiprocessing.get_context("fork")
    adders = [context.Process(target=_add_ten, args=(file, adder)) for adder in range(4)]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join(60)
    assert [adder.exitcode for adder in adders] == [0] * 4
    assert sorted(names(file)) == sorted(f"{adder}-{i}" for adder in range(4) for i in range(10))


def _add_ten(file: KeyFile, adder: int) -> None:
    for i in range(10):
        file.add(f"{adder}-{i}")


def test_its_stamp_tells_every_change(file: KeyFile) -> None:
    stamps = [file.stamp()]
    for change in (lambda: file.add("a"), lambda: file.add("b"), lambda: file.revoke("a"), file.path.unlink):
        change()
        stamps.append(file.stamp())
    assert stamps[-1] is None
    assert len(set(stamps)) == 4


def test_it_is_in_the_users_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_keys_file() == tmp_path / "tritonreel" / "keys.json"
    monkeypatch.setenv("HOME", "/home/me")
    for nothing in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", nothing)
        assert default_keys_file() == Path("/home/me/.config/tritonreel/keys.json")


def test_the_format_is_stable(file: KeyFile) -> None:
    """Files of earlier versions must be read."""
    file.add("laptop")
    (entry,) = json.loads(file.path.read_text())["keys"]
    assert sorted(entry) == ["created", "name", "sha256"]
