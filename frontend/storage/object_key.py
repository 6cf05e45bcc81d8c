"""The name under which a file lies in a folder or a bucket.

It says everything that is known of the file, `JOB/PART-KIND-SIZE-SHA256.SUFFIX`, so that there is no second object with
its description that could be lost, or be of another content: an object is complete if it has the size of its name.
"""

import re

from frontend.storage.storage import FileName, StoredFile

_SUFFIXES = {
    "video/mp4": "mp4",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "application/json": "json",
    "application/octet-stream": "bin",
}
_MEDIA_TYPES = {suffix: media_type for media_type, suffix in _SUFFIXES.items()}
_KEY = re.compile(r"([^/]+)/(\d{1,4})-([a-z]+)-(\d{1,15})-([0-9a-f]{64})\.([a-z0-9]+)", re.ASCII)


def suffix_of(media_type: str) -> str:
    """Raises ValueError for a type that is not stored."""
    if media_type not in _SUFFIXES:
        raise ValueError(f"{media_type} is not among the stored types: {', '.join(_SUFFIXES)}")
    return _SUFFIXES[media_type]


def key_of(file: StoredFile) -> str:
    """Below the folder or the prefix."""
    name = file.name
    stem = f"{name.part}-{name.kind}-{file.size}-{file.sha256}"
    return f"{name.job_id}/{stem}.{suffix_of(file.media_type)}"


def file_at(key: str, size: int, stored_at: float) -> StoredFile | None:
    """The file that is stored in the object `key` of `size` bytes; None if there is none, or not all of it."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    job_id, part, kind, whole, sha256, suffix = match.groups()
    if int(whole) != size or suffix not in _MEDIA_TYPES:
        return None
    try:
        name = FileName(job_id, int(part), kind)
    except ValueError:
        return None
    return StoredFile(name, _MEDIA_TYPES[suffix], size, sha256, stored_at)
