"""The storage that the settings ask for."""

from collections.abc import Mapping
from pathlib import Path

from frontend.storage.local_folder import LocalFolder
from frontend.storage.location import parse_location
from frontend.storage.s3_bucket import S3Bucket
from frontend.storage.spooled import SpooledStorage
from frontend.storage.storage import Storage


def open_bucket(location: str, environment: Mapping[str, str]) -> S3Bucket | None:
    """The bucket that `location` names; None where that is a folder.

    Raises:
        LocationError, StorageRefused: as `open_storage`.
    """
    match parse_location(location):
        case Path():
            return None
        case bucket:
            return S3Bucket(bucket, environment)


def open_storage(location: str, spool: Path, environment: Mapping[str, str]) -> Storage:
    """A local folder, or a bucket with the folder `spool` before it. `Storage.start` is to be called first.

    Raises:
        LocationError: `location` names no storage.
        StorageUnavailable, StorageRefused: a folder cannot be made, or there are no keys.
    """
    match parse_location(location):
        case Path() as folder:
            return LocalFolder(folder)
        case bucket:
            return SpooledStorage(S3Bucket(bucket, environment), LocalFolder(spool, "the spool folder"))
