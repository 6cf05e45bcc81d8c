"""The API keys that a running server takes."""

import hmac
import re

from frontend.http.api_keys import ENVIRONMENT_KEY_NAME, KeyFile, KeysError, hash_of
from frontend.http.key_limits import KeyLimits

_MIN_CHARACTERS = 16


class KeyRing:
    """The keys of a file, read again whenever it changes, and one from the environment.

    A file that cannot be read any more locks its keys out: who has just revoked one must not find it working.

    Args:
        file: where keys are added and revoked.
        environment_key: what TRITONREEL_API_KEY holds, if it is set.

    Raises:
        KeysError: here and from every method but `asked_for`: the file cannot be read, or is not one of keys.
    """

    def __init__(self, file: KeyFile, environment_key: str | None) -> None:
        self.file = file
        self._fixed = {ENVIRONMENT_KEY_NAME: _hash_of_environment_key(environment_key)} if environment_key else {}
        self._hashes = self._fixed
        self._administrators = frozenset(self._fixed)
        self._limits: dict[str, KeyLimits] = {}
        self._stamp: tuple[int, ...] | None = None
        self._file_seen = False
        self.refresh()

    @property
    def asked_for(self) -> bool:
        """Whether a request must have a key: once there is a file, even one whose keys were all revoked.

        So nobody gets in by the last key's end. Without a file again, it takes a new start to open the server.
        """
        return self._file_seen or bool(self._fixed)

    def names(self) -> tuple[str, ...]:
        self.refresh()
        return tuple(self._hashes)

    def name_of(self, key: bytes) -> str | None:
        """Whose key it is, or None. Takes as long for every key: all are compared, each in constant time."""
        self.refresh()
        given = hash_of(key)
        owners = [name for name, known in self._hashes.items() if hmac.compare_digest(given, known)]
        return owners[0] if owners else None

    def is_admin(self, name: str) -> bool:
        """Whether the key of that name sees the jobs of all: one that was made so, or the environment's."""
        return name in self._administrators

    def limits_of(self, name: str) -> KeyLimits:
        """Of a key that `name_of` has found; the environment's has none."""
        return self._limits.get(name, KeyLimits())

    def refresh(self) -> None:
        """Reads the file if it is not the one read last."""
        stamp = self.file.stamp()
        if stamp == self._stamp:
            return
        self._file_seen = True
        keys = self.file.read()
        self._hashes = {key.name: key.sha256 for key in keys} | self._fixed
        self._administrators = frozenset(key.name for key in keys if key.admin) | self._fixed.keys()
        self._limits = {key.name: key.limits for key in keys if key.name not in self._fixed}
        self._stamp = stamp  # of before the reading: what changes meanwhile is read the next time


def _hash_of_environment_key(key: str) -> str:
    """Raises KeysError for one that could be guessed, or that no header can carry."""
    if not re.fullmatch(r"[!-~]+", key) or len(key) < _MIN_CHARACTERS:
        raise KeysError(
            f"TRITONREEL_API_KEY must have at least {_MIN_CHARACTERS} visible ASCII characters and no spaces. "
            "This makes one: openssl rand -hex 32"
        )
    return hash_of(key.encode())
