from pathlib import Path

import pytest

from frontend.http.api_keys import KeyFile, KeysError
from frontend.http.key_limits import KeyLimits
from frontend.http.key_ring import KeyRing

ENVIRONMENT_KEY = "a-key-for-a-container"


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def test_it_knows_whose_a_key_is(file: KeyFile) -> None:
    laptop, phone = file.add("laptop"), file.add("phone")
    keys = KeyRing(file, ENVIRONMENT_KEY)
    assert keys.names() == ("laptop", "phone", "environment")
    assert keys.name_of(laptop.encode()) == "laptop"
    assert keys.name_of(phone.encode()) == "phone"
    assert keys.name_of(ENVIRONMENT_KEY.encode()) == "environment"


def test_it_knows_no_other(file: KeyFile) -> None:
    key = file.add("laptop")
    keys = KeyRing(file, None)
    (kept,) = file.read()
    for wrong in (key[:-1], key + "a", key.upper(), key[3:], "", "laptop", kept.sha256, ENVIRONMENT_KEY, f" {key}"):
        assert keys.name_of(wrong.encode()) is None
    assert keys.name_of(b"\xff\x00") is None


def test_it_takes_note_of_every_change(file: KeyFile) -> None:
    keys = KeyRing(file, None)
    assert not keys.asked_for
    laptop = file.add("laptop")
    assert keys.name_of(laptop.encode()) == "laptop"
    phone = file.add("phone")
    assert keys.name_of(phone.encode()) == "phone"
    file.revoke("laptop")
    assert keys.name_of(laptop.encode()) is None
    assert keys.name_of(phone.encode()) == "phone"


def test_it_knows_the_limits_of_a_key_as_they_are_now(file: KeyFile) -> None:
    laptop = file.add("laptop", limits=KeyLimits(max_jobs=4))
    file.add("phone")
    keys = KeyRing(file, ENVIRONMENT_KEY)
    assert keys.limits_of("laptop") == KeyLimits(max_jobs=4)
    assert keys.limits_of("phone") == keys.limits_of("environment") == KeyLimits()
    file.limit("laptop", {"max_jobs": None, "priority": "high"})
    assert keys.name_of(laptop.encode()) == "laptop"
    assert keys.limits_of("laptop") == KeyLimits(priority="high")


def test_the_last_keys_end_opens_nothing(file: KeyFile) -> None:
    file.add("laptop")
    keys = KeyRing(file, None)
    file.revoke("laptop")
    assert keys.names() == ()
    assert keys.asked_for
    file.path.unlink()
    assert keys.names() == ()
    assert keys.asked_for
    assert not KeyRing(file, None).asked_for


def test_a_file_without_keys_asks_for_one(file: KeyFile) -> None:
    file.add("laptop")
    file.revoke("laptop")
    assert KeyRing(file, None).asked_for


@pytest.mark.parametrize("broken", ["", '{"keys": ['])
def test_a_file_that_breaks_locks_out_until_it_is_mended(file: KeyFile, broken: str) -> None:
    key = file.add("laptop")
    keys = KeyRing(file, None)
    good = file.path.read_text()
    file.path.write_text(broken)
    for _ in range(2):
        with pytest.raises(KeysError, match="is not a file of API keys"):
            keys.name_of(key.encode())
    assert keys.asked_for
    file.path.write_text(good)
    assert keys.name_of(key.encode()) == "laptop"


def test_it_is_not_made_of_a_broken_file(file: KeyFile) -> None:
    file.path.write_text("{")
    with pytest.raises(KeysError):
        KeyRing(file, ENVIRONMENT_KEY)


@pytest.mark.parametrize("key", ["short", "x" * 15, "a" * 16 + " " + "a" * 16, "a" * 16 + "\n", "ä" * 20])
def test_the_environments_key_cannot_be_guessed_and_fits_into_a_header(file: KeyFile, key: str) -> None:
    with pytest.raises(KeysError, match="TRITONREEL_API_KEY must have at least 16") as error:
        KeyRing(file, key)
    assert key not in str(error.value)


@pytest.mark.parametrize("key", [None, ""])
def test_an_empty_variable_is_no_key(file: KeyFile, key: str | None) -> None:
    keys = KeyRing(file, key)
    assert not keys.asked_for
    assert keys.name_of(b"") is None
