"""Where files are stored, as the setting `storage` says it.

PATH or file:///PATH                                                a folder
s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&path_style=true]     a bucket
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_REGION = "us-east-1"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9!_.*'()=-]+", re.ASCII)
_OPTIONS = ("endpoint", "region", "path_style")
_FORM = "s3://BUCKET/PREFIX?endpoint=URL&region=NAME&path_style=true"


class LocationError(ValueError):
    """The setting names no storage. Its message repeats nothing of it: a URL can have a key in it."""


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket, and where it is."""

    name: str
    prefix: str = ""
    """of all keys, without slashes at its ends"""
    endpoint: str | None = None
    """URL of the server; None for AWS, or what the environment says"""
    region: str | None = None
    path_style: bool | None = None
    """whether the bucket is in the path of a request, or in its host name; None for the path if there is an endpoint"""


def parse_location(text: str) -> Path | Bucket:
    """The folder or the bucket. Raises LocationError."""
    if "://" not in text:
        if not text:
            raise LocationError("the storage must be a folder, or a URL such as s3://BUCKET/PREFIX")
        return Path(text)
    try:
        url = urlsplit(text)
        host, username = url.hostname, url.username
    except ValueError:
        raise LocationError(f"the storage is not a URL that can be read; it must be like {_FORM}") from None
    if username is not None:
        raise LocationError(
            "the storage's keys must not be in its URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if url.fragment:
        raise LocationError("the storage's URL must not have a # in it")
    match url.scheme:
        case "file":
            if host or url.query or not url.path:
                raise LocationError("the storage's URL must be like file:///FOLDER")
            return Path(unquote(url.path))
        case "s3":
            # not `hostname`, which is in lower case
            return _bucket(url.netloc, url.path, url.query)
    raise LocationError(f"the storage must be a folder, file:///FOLDER, or {_FORM}")


def _bucket(name: str, path: str, query: str) -> Bucket:
    if not _BUCKET.fullmatch(name):
        raise LocationError(f"the storage's URL names no bucket; it must be like {_FORM}")
    prefix = unquote(path).strip("/")
    for segment in prefix.split("/") if prefix else ():
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise LocationError(
                "the storage's prefix must be names of letters, digits and hyphens with slashes between"
            )
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if set(options) - set(_OPTIONS) or len(options) != len(pairs):
        raise LocationError(
            f"the storage's URL can have {', '.join(_OPTIONS)} after its ?, each once, and nothing else"
        )
    return Bucket(
        name,
        prefix,
        endpoint=_endpoint(options["endpoint"]) if "endpoint" in options else None,
        region=options.get("region") or None,
        path_style=_yes_or_no(options["path_style"]) if "path_style" in options else None,
    )


def _endpoint(text: str) -> str:
    """Raises LocationError."""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        url = urlsplit("")
    if url.scheme not in ("http", "https") or not url.hostname or url.username or url.query or url.fragment:
        raise LocationError("the storage's endpoint must be like https://HOST:PORT, without a key")
    return text.rstrip("/")


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise LocationError("the storage's path_style must be true or false")
    return text.lower() == "true"
