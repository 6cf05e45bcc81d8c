from pathlib import Path

import pytest

from frontend.errors import StorageRefused
from frontend.storage.local_folder import LocalFolder
from frontend.storage.location import Bucket, LocationError, parse_location
from frontend.storage.opening import open_storage
from frontend.storage.spooled import SpooledStorage
from tests.frontend.storage.s3_server import KEYS


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("videos", Path("videos")),
        ("/srv/my videos", Path("/srv/my videos")),
        ("file:///srv/my%20videos", Path("/srv/my videos")),
        ("s3://videos", Bucket("videos")),
        ("s3://My.Videos/", Bucket("My.Videos")),
        ("s3://videos/a/b/", Bucket("videos", "a/b")),
        (
            "s3://videos/a?endpoint=https://minio.example.com:9000/&region=eu-central-1&path_style=false",
            Bucket("videos", "a", "https://minio.example.com:9000", "eu-central-1", False),
        ),
        ("s3://videos?path_style=TRUE", Bucket("videos", path_style=True)),
    ],
)
def test_locations(text: str, location: Path | Bucket) -> None:
    assert parse_location(text) == location


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a folder, or a URL"),
        ("gs://videos", "must be a folder"),
        ("file://host/folder", "must be like file:///FOLDER"),
        ("s3://", "names no bucket"),
        ("s3:///videos", "names no bucket"),
        ("s3://vi deos", "names no bucket"),
        ("s3://videos:80", "names no bucket"),
        ("s3://[videos", "is not a URL"),
        ("s3://videos/../other", "the storage's prefix must be"),
        ("s3://videos/%2e%2e/other", "the storage's prefix must be"),
        ("s3://videos/a//b", "the storage's prefix must be"),
        ("s3://videos#x", "must not have a #"),
        ("s3://videos?region=a&region=b", "each once"),
        ("s3://videos?path_style=yes", "path_style must be true or false"),
        ("s3://videos?endpoint=minio:9000", "endpoint must be like"),
        ("s3://videos?endpoint=http://host:port", "endpoint must be like"),
        ("s3://key:hidden@videos", "keys must not be in its URL"),
        ("s3://videos?secret_access_key=hidden", "can have endpoint, region, path_style"),
        ("s3://videos?endpoint=https://key:hidden@host", "endpoint must be like"),
    ],
)
def test_what_is_no_location_is_said_without_repeating_it(text: str, message: str) -> None:
    with pytest.raises(LocationError, match=message) as error:
        parse_location(text)
    assert "hidden" not in str(error.value)


def test_a_folder_is_itself_and_a_bucket_has_a_spool_folder(tmp_path: Path) -> None:
    assert isinstance(open_storage(str(tmp_path / "a"), tmp_path / "spool", {}), LocalFolder)
    assert not (tmp_path / "spool").exists()
    assert isinstance(open_storage("s3://videos", tmp_path / "spool", KEYS), SpooledStorage)
    assert (tmp_path / "spool").exists()


def test_a_server_without_keys_is_refused(tmp_path: Path) -> None:
    for keys in ({}, {"AWS_ACCESS_KEY_ID": "hidden"}):
        with pytest.raises(StorageRefused, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
            open_storage("s3://videos?endpoint=http://127.0.0.1:9", tmp_path / "spool", keys)
