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


def file_at(key: str, stored_at: float) -> StoredFile | None:
    """The file that the object `key` is, if its size is right; None if it is none of ours."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    job_id, part, kind, size, sha256, suffix = match.groups()
    if suffix not in _MEDIA_TYPES:
        return None
    try:
        name = FileName(job_id, int(part), kind)
    except ValueError:
        return None
    return StoredFile(name, _MEDIA_TYPES[suffix], int(size), sha256, stored_at)
