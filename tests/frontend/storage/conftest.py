from collections.abc import Iterator
from pathlib import Path

import pytest

from frontend.storage.local_folder import LocalFolder
from frontend.storage.spooled import SpooledStorage
from frontend.storage.storage import Storage, StoredFile
from tests.frontend.storage.s3_server import Kind, S3Server


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that no test harms."""
    with S3Server("rclone", tmp_path_factory.mktemp("rclone") / "buckets") as server:
        yield server


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that no test harms."""
    with S3Server("moto", tmp_path_factory.mktemp("moto") / "buckets") as server:
        yield server


@pytest.fixture(params=["local", "rclone", "moto", "spooled"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Each kind that there is, empty."""
    prefix = tmp_path.name
    match request.param:
        case "local":
            return LocalFolder(tmp_path / "storage")
        case "spooled":
            moto: S3Server = request.getfixturevalue("moto")
            return SpooledStorage(moto.bucket(prefix=prefix), LocalFolder(tmp_path / "spool"))
    server: S3Server = request.getfixturevalue(request.param)
    return server.bucket(prefix=prefix)


@pytest.fixture(params=["rclone", "moto"])
def s3(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[S3Server]:
    """A server of the test's own, which it may kill."""
    kind: Kind = request.param
    with S3Server(kind, tmp_path / "s3" / "buckets") as server:
        yield server


async def content(storage: Storage, file: StoredFile, part: range | None = None) -> bytes:
    return b"".join([chunk async for chunk in await storage.read(file, part)])
