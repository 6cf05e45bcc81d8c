"""A bucket of an S3 server as a storage."""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit, urlunsplit

import obstore
from obstore.exceptions import PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from frontend.errors import StorageFull, StorageRefused, StorageUnavailable
from frontend.storage.location import DEFAULT_REGION, Bucket
from frontend.storage.object_key import key_of, suffix_of
from frontend.storage.object_storage import FAILURES, ObjectStorage, damaged
from frontend.storage.storage import FileName, StoredFile

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

_KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_CHUNK_BYTES = 1024 * 1024
_PART_BYTES = 5 * 1024 * 1024
_PARTS_AT_ONCE = 2
"""of a file that is uploaded: what it takes in memory is this times their size"""
_LONGEST_URL_SECONDS = 7 * 24 * 3600.0
"""AWS takes no more"""

_TIMEOUT = "15s"
"""of a request that carries no more than a chunk"""
_UPLOAD_TIMEOUT = "60s"
"""of one that carries a part of a file"""
_WHOLE_FILE_TIMEOUT = "1d"
"""of one that carries all of a file, to a client that may be slow"""
_RETRY: "RetryConfig" = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
}
"""for a connection that broke; a server that is away for longer is waited for by who uploads"""

_CODE = re.compile(r"<Code>(\w{1,64})</Code>", re.ASCII)
_FULL_CODES = ("XMinioStorageFull", "QuotaExceeded", "InsufficientStorage")
_KEY_CODES = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken", "InvalidToken")
_NO_RANGES = "non-partial response when range requested"


class _NoRangesError(Exception):
    """The server sends the whole file whatever part of it is asked for."""


class S3Bucket(ObjectStorage):
    """Files in `bucket`, with the keys that `environment` has.

    Raises:
        StorageRefused: it has no keys for a server that is not AWS.
    """

    def __init__(self, bucket: Bucket, environment: Mapping[str, str]) -> None:
        endpoint = bucket.endpoint or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        if endpoint and not all(environment.get(variable) for variable in _KEY_VARIABLES):
            raise StorageRefused(f"the storage needs keys: set {' and '.join(_KEY_VARIABLES)}")
        region = bucket.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        path_style = bool(endpoint) if bucket.path_style is None else bucket.path_style
        config: S3Config = {
            "region": region or DEFAULT_REGION,
            "virtual_hosted_style_request": not path_style,
            "checksum_algorithm": "sha256",
        }
        if endpoint:
            config["endpoint"] = endpoint if path_style else _with_bucket(endpoint, bucket.name)
        if access_key_id := environment.get("AWS_ACCESS_KEY_ID"):
            config["access_key_id"] = access_key_id
        if secret_access_key := environment.get("AWS_SECRET_ACCESS_KEY"):
            config["secret_access_key"] = secret_access_key
        if token := environment.get("AWS_SESSION_TOKEN"):
            config["session_token"] = token
        allow_http = (endpoint or "").startswith("http:")

        def store(timeout: str) -> S3Store:
            client: ClientConfig = {"connect_timeout": "5s", "timeout": timeout, "allow_http": allow_http}
            return S3Store(
                bucket.name, prefix=bucket.prefix or None, config=config, client_options=client, retry_config=_RETRY
            )

        self._bucket = store(_TIMEOUT)
        self._uploads = store(_UPLOAD_TIMEOUT)
        self._whole_files = store(_WHOLE_FILE_TIMEOUT)
        self._has_ranges = True
        super().__init__(self._bucket)

    async def start(self) -> None:
        """See `Storage.start`."""

    async def close(self) -> None:
        pass

    async def put(self, name: FileName, content: bytes | Path, media_type: str) -> StoredFile:
        """See `Storage.put`."""
        suffix_of(media_type)
        size, sha256 = await asyncio.to_thread(_measure, content)
        file = StoredFile(name, media_type, size, sha256, time.time())
        before = await self._versions(name)
        await self._upload(key_of(file), content, size, media_type)
        await self._delete_replaced(before, file)
        return file

    async def signed_url(self, file: StoredFile, seconds: float) -> str:
        """See `Storage.signed_url`."""
        return await self._signed(key_of(file), seconds)

    async def publish(self, key: str, content: bytes, media_type: str, seconds: float | None) -> str:
        """Store `content` for good, as no job's file, under the key `key` behind the bucket's prefix.

        Returns:
            A URL from which whoever has it can read the content for `seconds`; the public one, which works where the
            bucket lets everybody read, if None.

        Raises:
            StorageUnavailable, StorageRefused, StorageFull.
        """
        await self._upload(key, content, len(content), media_type)
        if seconds is not None:
            return await self._signed(key, seconds)
        return urlsplit(await self._signed(key, 1.0))._replace(query="").geturl()

    async def _upload(self, key: str, content: bytes | Path, size: int, media_type: str) -> None:
        try:
            await obstore.put_async(
                self._uploads,
                key,
                content,
                attributes={"Content-Type": media_type},
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
            stored = await obstore.head_async(self._bucket, key)
        except FAILURES as error:
            self._failed(error)
        if stored["size"] != size:
            raise StorageUnavailable("the storage does not have all of what it has just taken")

    async def _signed(self, key: str, seconds: float) -> str:
        lifetime = timedelta(seconds=max(1.0, min(seconds, _LONGEST_URL_SECONDS)))
        try:
            return await obstore.sign_async(self._bucket, "GET", key, lifetime)
        except FAILURES as error:
            self._failed(error)

    async def _chunks(self, file: StoredFile, part: range) -> AsyncGenerator[bytes, None]:
        if self._has_ranges:
            try:
                async for chunk in self._ranges(file, part):
                    yield chunk
                return
            except _NoRangesError:  # at the first chunk, thus before any was given out
                self._has_ranges = False
        position = 0
        async for chunk in self._whole_file(file):
            start, stop = max(part.start - position, 0), min(part.stop - position, len(chunk))
            position += len(chunk)
            if start < stop:
                yield chunk[start:stop]
            if position >= part.stop:
                return
        if position < part.stop:
            raise damaged(file)

    async def _ranges(self, file: StoredFile, part: range) -> AsyncGenerator[bytes, None]:
        # Each chunk is a request of its own: a slow client holds no connection to the storage.
        for start in range(part.start, part.stop, _CHUNK_BYTES):
            stop = min(start + _CHUNK_BYTES, part.stop)
            with self._reading():
                chunk = await obstore.get_range_async(self._bucket, key_of(file), start=start, end=stop)
            if len(chunk) != stop - start:
                raise damaged(file)
            yield bytes(chunk)

    async def _whole_file(self, file: StoredFile) -> AsyncGenerator[bytes, None]:
        """In one request, of a server that sends all of a file whatever part is asked for."""
        with self._reading():
            content = await obstore.get_async(self._whole_files, key_of(file))
        chunks = aiter(content.stream(min_chunk_size=_CHUNK_BYTES))
        while True:
            with self._reading():
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield bytes(chunk)

    def _failed(self, error: Exception) -> NoReturn:
        # No more of the error's text than the server's code: it has addresses, and what a request was signed with.
        text = str(error)
        if _NO_RANGES in text:
            raise _NoRangesError from None
        found = _CODE.search(text)
        code = found.group(1) if found else ""
        if code == "NoSuchBucket" or (not code and isinstance(error, FileNotFoundError)):
            raise StorageRefused("the storage has no such bucket: make it, or name another") from None
        if code in _KEY_CODES or isinstance(error, PermissionDeniedError | UnauthenticatedError):
            raise StorageRefused(f"the storage refuses the server's keys{_in_brackets(code)}") from None
        if code in _FULL_CODES:
            raise StorageFull(f"the storage is full{_in_brackets(code)}: make space, then try again") from None
        raise StorageUnavailable(f"the storage cannot be used{_in_brackets(code or _reason(text))}") from None


def _with_bucket(endpoint: str, bucket: str) -> str:
    """Where a bucket is that has a host name of its own."""
    url = urlsplit(endpoint)
    return urlunsplit(url._replace(netloc=f"{bucket}.{url.netloc}"))


def _measure(content: bytes | Path) -> tuple[int, str]:
    """Size and checksum."""
    if isinstance(content, bytes):
        return len(content), hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), sha256


def _reason(text: str) -> str:
    for words, reason in (
        ("onnection refused", "connection refused"),
        ("dns error", "its address is not known"),
        ("timed out", "no answer in time"),
        ("timeout", "no answer in time"),
        ("certificate", "its certificate is not trusted"),
        ("error sending request", "no connection"),
    ):
        if words in text:
            return reason
    status = re.search(r"\b([45]\d\d) [A-Z][A-Za-z ]{2,40}", text)
    return f"status {status.group(1)}" if status else ""


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""
