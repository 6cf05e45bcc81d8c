"""API keys: how they are made, and the file that remembers them by their hashes.

A key is 256 random bits, so nobody can guess it from its hash, and one round of SHA-256 is enough: slow or salted
hashes are for passwords, which people choose.
"""

import fcntl
import hashlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from frontend.http.key_limits import NO_LIMITS, KeyLimits

ENVIRONMENT_KEY_NAME = "environment"
"""the name of the key that TRITONREEL_API_KEY holds"""
_PREFIX = "tr_"
_RANDOM_BYTES = 32
_NAME = r"[A-Za-z0-9._-]{1,64}"


class KeysError(Exception):
    """A sentence for the person who manages the keys: what is wrong with the file, or with a name."""


class ApiKey(BaseModel):
    """What is kept of a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=f"^{_NAME}$")]
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    created: AwareDatetime
    admin: bool = False
    """whether it sees the jobs of all keys"""
    limits: KeyLimits = KeyLimits()


class _Contents(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: tuple[ApiKey, ...]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({key.name for key in self.keys}) < len(self.keys):
            raise ValueError("two keys have the same name")
        return self


def hash_of(key: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(key).hexdigest()


def default_keys_file() -> Path:
    """`keys.json` in the folder for this user's configuration. Raises KeysError where the user has none."""
    configured = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        folder = configured if configured.is_absolute() else Path.home() / ".config"
    except RuntimeError:
        raise KeysError("This user has no home folder: name a file with --keys-file or TRITONREEL_KEYS_FILE") from None
    return folder / "tritonreel" / "keys.json"


class KeyFile:
    """A JSON file that only its owner may read and write. Every method raises KeysError.

    It is replaced as a whole, so that who reads it never finds half of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamp(self) -> tuple[int, ...] | None:
        """Differs whenever the file does; None where there is none."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)

    def read(self) -> tuple[ApiKey, ...]:
        """None at all where there is no file."""
        try:
            mode = self.path.stat().st_mode
            if not stat.S_ISREG(mode):
                raise KeysError(f"The API keys cannot be read: {self.path} is not a regular file")
            if mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise KeysError(f"Others may write the API keys' file; make it yours alone: chmod 600 {self.path}")
            return _Contents.model_validate_json(self.path.read_bytes()).keys
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unusable(error) from error
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise KeysError(
                f"{self.path} is not a file of API keys: {where + ': ' if where else ''}{first['msg']}"
            ) from None

    def add(self, name: str, *, admin: bool = False, limits: KeyLimits = NO_LIMITS) -> str:
        """A new key, which is kept nowhere: only its hash is."""
        if not re.fullmatch(_NAME, name):
            raise KeysError(f"The name of a key is 1 to 64 letters, digits, '.', '_' and '-', got {name[:200]!r}")
        if name == ENVIRONMENT_KEY_NAME:
            raise KeysError(f"{name!r} is the name of the key in TRITONREEL_API_KEY; choose another")
        key = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        with self._locked():
            keys = self.read()
            if name in (known.name for known in keys):
                raise KeysError(
                    f"There is a key {name!r} already in {self.path}; revoke it first, or choose another name"
                )
            created = datetime.now(UTC).replace(microsecond=0)
            added = ApiKey(name=name, sha256=hash_of(key.encode()), created=created, admin=admin, limits=limits)
            self._write((*keys, added))
        return key

    def limit(self, name: str, changes: dict[str, Any]) -> KeyLimits:
        """Change limits of a key. All of them, as they are then."""
        with self._locked():
            keys = self.read()
            changed = tuple(
                key.model_copy(update={"limits": key.limits.changed(changes)}) if key.name == name else key
                for key in keys
            )
            limits = next((key.limits for key in changed if key.name == name), None)
            if limits is None:
                raise KeysError(f"There is no key {name[:200]!r} in {self.path}")
            self._write(changed)
        return limits

    def revoke(self, name: str) -> None:
        with self._locked():
            keys = self.read()
            kept = tuple(key for key in keys if key.name != name)
            if len(kept) == len(keys):
                raise KeysError(f"There is no key {name[:200]!r} in {self.path}")
            self._write(kept)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among those that change the file; the lock is another one, because the file itself is replaced."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, keys: tuple[ApiKey, ...]) -> None:
        target = self.path.resolve()  # a link stays one
        try:
            descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # with mode 0600
            partial = Path(name)
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(_Contents(keys=keys).model_dump_json(indent=2, exclude_defaults=True) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> KeysError:
        return KeysError(f"The API keys' file {self.path} cannot be used: {error.strerror or error}")
