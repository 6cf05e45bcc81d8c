"""Sizes of memory as people write them."""

import pytest

from protocol.memory_size import parse_memory_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GB", 24 * 10**9),
        (" 24 GiB ", 24 * 2**30),
        ("1.5tb", 1_500_000_000_000),
        ("0MB", 0),
        ("-1GB", -(10**9)),
        ("999999999999TiB", 999_999_999_999 * 2**40),
    ],
)
def test_a_size_is_bytes(text: str, size: int) -> None:
    assert parse_memory_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "24", "GB", "24 apples", "²GB", "1e9GB", "1.GB", "9" * 400 + "GB", "1." + "9" * 99 + "GB"]
)
def test_what_is_no_size_is_none(text: str) -> None:
    assert parse_memory_size(text) is None
