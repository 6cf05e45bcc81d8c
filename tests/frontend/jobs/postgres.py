"""A real PostgreSQL server for tests, as Debian's package `postgresql` has it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.waiting import SECONDS, wait_until


def _programs() -> Path | None:
    """The folder of the newest release's programs."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)


@contextmanager
def postgres() -> Iterator[str]:
    """Its URL, of an empty database. The server refuses to run as root, so it runs as another user then."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    try:
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        data, port = folder / "data", free_port()
        made = ["--auth=trust", "--username=test", "--no-sync", "--locale=C", "--encoding=UTF8"]
        subprocess.run(
            [programs / "initdb", "--pgdata", data, *made], check=True, capture_output=True, cwd=folder, user=user
        )
        options = [
            "-D",
            str(data),
            "-p",
            str(port),
            "-k",
            str(folder),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "fsync=off",
        ]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [str(programs / "postgres"), *options], stdout=log, stderr=log, cwd=folder, user=user
            )
        try:
            _wait_until_up(programs, port)
            yield f"postgresql://test@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait(SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_up(programs: Path, port: int) -> None:
    asks = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    wait_until(lambda: subprocess.run(asks, check=False).returncode == 0)
