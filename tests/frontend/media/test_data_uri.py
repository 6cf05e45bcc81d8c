import base64
import os

import pytest

from frontend.errors import InvalidImage
from frontend.media.data_uri import bytes_of_data_uri


@pytest.mark.parametrize(
    "head",
    [
        "data:image/png;base64,",
        "data:;base64,",
        "DATA:text/plain;charset=x;base64,",
        "data:image/png;BASE64,",
        "Data:Image/PNG;Base64,",
    ],
)
def test_it_is_read_whatever_type_it_declares(head: str) -> None:
    assert bytes_of_data_uri(head + base64.b64encode(b"\0\xff?>").decode(), "image") == b"\0\xff?>"


@pytest.mark.parametrize("size", [0, 1, 3 * 1024 * 1024, 3 * 1024 * 1024 + 1, 7_000_000])
def test_files_of_any_size_are_whole(size: int) -> None:
    file = os.urandom(size)
    assert bytes_of_data_uri(f"data:;base64,{base64.b64encode(file).decode()}", "image") == file


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://localhost/a.png", "must be a data: URI"),
        ("https://example.com/data:;base64,AAAA", "must be a data: URI"),
        ("file:///etc/passwd", "must be a data: URI"),
        ("data:image/png,%89PNG", "must be a data: URI"),
        ("data:text/plain,;base64,AAAA", "must be a data: URI"),
        ("data:image/png;base64", "must be a data: URI"),
        ("data:" + "x" * 5_000_000 + ";base64,AAAA", "must be a data: URI"),
        ("", "must be a data: URI"),
        ("data:image/png;base64,A", "not valid base64"),
        ("data:image/png;base64,AAAA AAAA", "not valid base64"),
        ("data:image/png;base64,AA==AAAA", "not valid base64"),
        ("data:image/png;base64," + "A" * (4 * 1024 * 1024 - 2) + "==AAAA", "not valid base64"),
        ("data:image/png;base64,ÄAAA", "not valid base64"),
    ],
    ids=lambda value: value[:30],
)
def test_another_url_is_refused_by_name(uri: str, message: str) -> None:
    with pytest.raises(InvalidImage, match=message) as refused:
        bytes_of_data_uri(uri, "image")
    assert refused.value.field == "image"
