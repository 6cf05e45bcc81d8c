"""JSON within bounds: what is read, what is refused, and that refusing costs little."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from frontend.http.json_text import (
    MAX_DEPTH,
    MAX_ENTRIES,
    MAX_TEXT_BYTES,
    MAX_VALUES,
    Budget,
    InvalidValue,
    NotJson,
    decode,
)
from tests.memory import traced

MEGABYTE = 1_000_000


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


# What is read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b" 5 ", 5),
        (b"-0", 0),
        (b'"\\ud83e\\udd8a \\" \\\\ \\/ \\u0000"', '🦊 " \\ / \0'),
        ("\ufeff{}".encode(), {}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"[1e999, -1e999]", [float("inf"), float("-inf")]),
        (b'{"": [[], {}, null, true, false]}', {"": [[], {}, None, True, False]}),
    ],
)
def test_values(text: bytes, value: Any) -> None:
    assert decode(text) == value
    assert decode(bytearray(text)) == value


def nested(depth: int, value: Any = None) -> Any:
    for _ in range(depth):
        value = [value] if depth % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        nested(MAX_DEPTH),
        nested(MAX_DEPTH - 1),
        [0] * MAX_ENTRIES,
        {str(i): [] for i in range(MAX_ENTRIES)},
        [[0] * 999] * 4 + [[0] * (MAX_VALUES - 4 * 1000 - 2)],
        {"a" * MAX_TEXT_BYTES: "b" * MAX_TEXT_BYTES},
        "🦊" * 8000,
        {"input_reference": {"image_url": "x" * 10 * MAX_TEXT_BYTES}},
        {"image_url": '\\"/' * MAX_TEXT_BYTES},
        9 * 10**999,
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_just_inside_the_bounds(value: Any) -> None:
    assert decode(encoded(value)) == value
    assert decode(json.dumps(value, indent=1).encode()) == value


# What is refused


@pytest.mark.parametrize(
    ("value", "path", "rule"),
    [
        ([0] * (MAX_ENTRIES + 1), (), "must have at most 1,000 entries"),
        ({"lora": [{}] * (MAX_ENTRIES + 1)}, ("lora",), "must have at most 1,000 entries"),
        ({"n": 1, "a": [0, {"lora": dict.fromkeys(map(str, range(1001)))}]}, ("a", 1, "lora"), "1,000 entries"),
        ({"x": 1, "a": [[0] * 999] * 6}, ("a",), "has too many values: a body may have 5,000"),
        ({"model": "x" * (MAX_TEXT_BYTES + 1)}, ("model",), "must have at most 131,072 bytes of text"),
        ({"a": ["", "\n" * MAX_TEXT_BYTES]}, ("a", 1), "bytes of text"),
        ({"a": {"x" * (MAX_TEXT_BYTES + 1): 1}}, ("a",), "bytes of text"),
        ({"image_url": ["x" * (MAX_TEXT_BYTES + 1)]}, ("image_url", 0), "bytes of text"),
        ({"a": [{"b": "\ud800"}]}, ("a", 0, "b"), "must be valid Unicode"),
        ({"a": {"\udc00": 1}}, ("a",), "must be valid Unicode"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_too_much_is_named(value: Any, path: tuple[str | int, ...], rule: str) -> None:
    for text in (encoded(value), json.dumps(value, indent=1).encode()):
        with pytest.raises(InvalidValue) as refused:
            decode(text)
        assert refused.value.path == path
        assert rule in refused.value.rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "EOF while parsing a value at line 1 column 0"),
        (b'{"a": "\xff"}', "it is not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "it is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "expected value at line 1 column 1"),
        ('{"a": 1}'.encode("utf-16-le"), "key must be a string at line 1 column 2"),
        (b"9" * 1001, "it has a number with too many digits"),
        (b"0." + b"0" * MEGABYTE + b"1", "it has a number with too many digits"),
        (encoded(nested(MAX_DEPTH + 1)), "it is nested too deeply"),
        (encoded(nested(MAX_DEPTH + 2)), "it is nested too deeply"),
        (b'{"a": "\x00"}', "control character"),
        (b'{"image_url": "\\ud800"}', "escape"),
        (b"[1] []", "trailing characters"),
        (b"[1,]", "trailing comma"),
        (b"nan", "expected ident"),
        (b"'a'", "expected value"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_what_is_not_json_is_told(text: bytes, message: str) -> None:
    with pytest.raises(NotJson, match=message):
        decode(text)


# Costs


FLOODS: dict[str, Callable[[int], bytes]] = {
    "empty objects": lambda size: b'{"lora":[' + b"{}," * (size // 3) + b"{}]}",
    "empty arrays": lambda size: b"[" + b"[]," * (size // 3) + b"[]]",
    "numbers": lambda size: b"[" + b"0," * (size // 2) + b"0]",
    "empty strings": lambda size: b"[" + b'"",' * (size // 3) + b'""]',
    "keys": lambda size: b'{"lora":{' + b",".join(b'"%07d":{}' % i for i in range(size // 13)) + b"}}",
    "equal keys": lambda size: b"{" + b'"a":1,' * (size // 6) + b'"a":1}',
    "arrays of arrays": lambda size: b"[" + (b"[" + b"[]," * 900 + b"[]],") * (size // 2704) + b"[]]",
    "depth of arrays": lambda size: b"[" * size,
    "depth of objects": lambda size: b'{"a":' * (size // 5),
    "one number": lambda size: b"[" + b"1" * size + b"]",
    "one string": lambda size: b'{"a":"' + b"x" * size + b'"}',
    "one key": lambda size: b'{"' + b"x" * size + b'":1}',
    "escapes": lambda size: b'{"a":"' + b'\\"' * (size // 2) + b'"}',
    "backslashes": lambda size: b'{"a":"' + b"\\" * size,
    "surrogates": lambda size: b'["' + b"\\ud800" * (size // 6) + b'"]',
    "commas": lambda size: b"," * size,
    "colons": lambda size: b"{" + b":" * size,
    "colons and strings": lambda size: b'"a":' * (size // 4),
    "strings": lambda size: b'"a"' * (size // 3),
    "closing brackets": lambda size: b"]" * size,
    "brackets": lambda size: b"[]" * (size // 2),
    "words": lambda size: b"null " * (size // 5),
    "blanks": lambda size: b" " * size,
    "blanks and numbers": lambda size: b"[" + b"0\n,\t" * (size // 4) + b"0]",
}


@pytest.mark.parametrize("size", [MEGABYTE, 32 * MEGABYTE])
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_takes_no_memory(flood: Callable[[int], bytes], size: int) -> None:
    text = bytearray(flood(size))
    with traced() as memory, pytest.raises((NotJson, InvalidValue)) as refused:
        decode(text)

    assert memory.peak < 3 * MEGABYTE
    assert len(str(refused.value)) < 200
    assert len(str(getattr(refused.value, "path", ()))) < 1100


def test_a_file_takes_its_own_size() -> None:
    text = bytearray(b'{"prompt": "\xf0\x9f\xa6\x8a", "image_url": "' + b"A" * 32 * MEGABYTE + b'"}')
    with traced() as memory:
        value = decode(text)

    assert len(value["image_url"]) == 32 * MEGABYTE
    assert memory.peak < 33 * MEGABYTE


# Against the parser of the standard library


def random_value(source: random.Random, depth: int = 0) -> Any:
    kind = source.randrange(7 if depth < 6 else 4)
    count = range(source.randrange(5))
    if kind == 0:
        return source.choice([1, -2.5, True, None, 1e300])
    if kind < 4:
        return random_text(source)
    if kind < 6:
        return [random_value(source, depth + 1) for _ in count]
    return {random_text(source): random_value(source, depth + 1) for _ in count}


def random_text(source: random.Random) -> str:
    return "".join(source.choices('ab",:[]{}\\\n\t é🦊', k=source.randrange(6)))


def count_of(value: Any) -> int:
    """Values as MAX_VALUES counts them."""
    match value:
        case list():
            return 1 + sum(map(count_of, value))
        case dict():
            return 1 + sum(1 + count_of(entry) for entry in value.values())
    return 1


@pytest.mark.parametrize("seed", range(4))
def test_every_value_is_counted_and_nothing_is_read_otherwise_than_elsewhere(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(1000):
        value = random_value(source)
        text = json.dumps(value, ensure_ascii=source.random() < 0.5, indent=source.choice([None, 1])).encode()
        budget = Budget()
        assert decode(text, budget) == value
        assert MAX_VALUES - budget.values == count_of(value)

        spoilt = bytearray(text)
        spoilt[source.randrange(len(spoilt))] = source.choice(b'[]{},:"\\1 a')
        try:
            expected = json.loads(bytes(spoilt))
        except ValueError:
            with pytest.raises((NotJson, InvalidValue)):
                decode(spoilt)
        else:
            if is_unicode(expected):
                assert decode(spoilt) == expected
            else:
                with pytest.raises(InvalidValue, match="must be valid Unicode"):
                    decode(spoilt)


def is_unicode(value: Any) -> bool:
    """Whether there is half of a surrogate pair in it, which the standard library takes."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
