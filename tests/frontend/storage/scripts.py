"""What tests run in processes of their own: `python -m tests.frontend.storage.scripts NAME ARGUMENTS`."""

import asyncio
import os
import sys
from pathlib import Path

from frontend.errors import StorageFull
from frontend.storage.local_folder import LocalFolder
from frontend.storage.location import Bucket
from frontend.storage.s3_bucket import S3Bucket
from frontend.storage.spooled import SpooledStorage
from frontend.storage.storage import FileName, Storage

VIDEO = FileName("video_1")


async def put(location: str, source: str) -> None:
    """Store the content of a file, which may be a pipe."""
    await _storage(location).put(VIDEO, Path(source), "video/mp4")


async def fill(folder: str) -> None:
    """Store too much in a folder of a disk with 1 MiB. What it says of it, and what is left."""
    storage = LocalFolder(Path(folder))
    await storage.put(FileName("video_0"), b"x" * 1000, "video/mp4")
    try:
        await storage.put(VIDEO, os.urandom(2 * 1024 * 1024), "video/mp4")
    except StorageFull as error:
        print(error.message)
    print([file.name.job_id async for file in storage.list()], [*(Path(folder) / ".partial").iterdir()])
    await storage.put(VIDEO, os.urandom(500_000), "video/mp4")
    print((await storage.head(VIDEO)) is not None)


async def spool_on_a_full_disk(folder: str, endpoint: str) -> None:
    """Store what the spool folder has no space for."""
    bucket = S3Bucket(Bucket("videos", endpoint=endpoint), os.environ)
    storage = SpooledStorage(bucket, LocalFolder(Path(folder)))
    await storage.put(VIDEO, os.urandom(2 * 1024 * 1024), "video/mp4")
    print((await bucket.head(VIDEO)) is not None)
    await storage.close()


def _storage(location: str) -> Storage:
    if location.startswith("http"):
        return S3Bucket(Bucket("videos", endpoint=location), os.environ)
    return LocalFolder(Path(location))


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    asyncio.run(globals()[name](*arguments))
