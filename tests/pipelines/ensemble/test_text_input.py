"""What any gRPC client may send to `generate` as text."""

import json

import pytest

from pipelines.ensemble.text_input import MAX_BYTES, MAX_JSON_BYTES, read_object, read_text
from protocol.errors import InvalidRequest
from protocol.lora import MAX_ADAPTERS
from protocol.resolve import parse
from tests.memory import traced

NAME = "sampling_parameters"


@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_longest_request_fits(ascii_only: bool) -> None:
    prompt = "🦊" * 8000
    pair = {"high": "🦊" * 255, "low": "🦊" * 255, "scale": -9.123456789012345}
    parameters = {"negative_prompt": prompt, "lora": [pair] * MAX_ADAPTERS}
    said = json.dumps(parameters, ensure_ascii=ascii_only).encode()

    request = parse({"prompt": read_text(prompt.encode(), "prompt"), **read_object(said, NAME)})

    assert (request.prompt, request.negative_prompt) == (prompt, prompt)
    assert [adapter.high for adapter in request.lora] == [pair["high"]] * MAX_ADAPTERS


@pytest.mark.parametrize("value", [b"\xff", b"\xed\xa0\x80", b"x" * (MAX_BYTES + 1)], ids=lambda value: value[:4])
def test_text_that_is_long_or_not_utf8_is_refused_by_name(value: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_text(value, "prompt")
    assert refused.value.field == "prompt"
    assert len(refused.value.message) < 100


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "must be JSON"),
        (b"ink", "must be JSON"),
        (b"{", "must be JSON"),
        (b"[" * 60_000, "must be JSON"),
        (b'{"a":' * 10_000, "must be JSON"),
        (b"9" * 60_000, "must be JSON"),
        (b'{"solver": "\\ud800"}', "must be JSON"),
        (b'{"seed": 1} {"seed": 2}', "must be JSON"),
        (b"5", "must be a JSON object"),
        (b'"ink"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"[" + b"{}," * 20_000 + b"{}]", "must be a JSON object"),
        (b'{"lora": [' + b"{}," * 300_000 + b"{}]}", "must have at most 262,144 bytes"),
        (b" " * (MAX_JSON_BYTES + 1), "must have at most 262,144 bytes"),
    ],
    ids=lambda value: f"{value[:20]!r} {len(value)}",
)
def test_parameters_that_are_no_json_object_are_refused(value: bytes, message: str) -> None:
    with traced() as memory, pytest.raises(InvalidRequest) as refused:
        read_object(value, NAME)

    assert (refused.value.field, refused.value.message) == (NAME, message)
    assert memory.peak < 20_000_000


@pytest.mark.parametrize(
    "value",
    [
        b"5",
        b'"ink"',
        b"[" + b"{}," * 20_000 + b"{}]",
        b'{"name": "ink", "scale": 1e999}',
        b'{"name": "ink", "scale": NaN}',
        b'{"name": "ink", ' + b", ".join(b'"k%d": 1' % i for i in range(20_000)) + b"}",
    ],
    ids=lambda value: f"{value[:20]!r} {len(value)}",
)
def test_adapters_that_are_no_adapters_are_refused_by_name(value: bytes) -> None:
    with traced() as memory, pytest.raises(InvalidRequest) as refused:
        parse({"prompt": "x", **read_object(b'{"lora": ' + value + b"}", NAME)})

    assert refused.value.field == "lora"
    assert len(refused.value.log_line) < 200
    assert memory.peak < 20_000_000


@pytest.mark.parametrize(
    ("value", "blamed"),
    [
        (b'{"sedd": 1}', "sedd"),
        (b'{"seed": 1, "Seed": 2}', "Seed"),
        (b'{"": 1}', ""),
        (b'{"\\u001b[2J": 1}', r"\x1b[2J"),
        (b"{" + b", ".join(b'"k%d": 1' % i for i in range(20_000)) + b"}", "k0"),
        (b'{"' + b"k" * 200_000 + b'": 1}', "k" * 200 + "..."),
    ],
    ids=lambda value: f"{value[:20]!r} {len(value)}",
)
def test_an_unknown_field_is_refused_by_name(value: bytes, blamed: str) -> None:
    with traced() as memory, pytest.raises(InvalidRequest) as refused:
        parse({"prompt": "x", **read_object(value, NAME)})

    assert (refused.value.field, refused.value.message) == (blamed, "is not a known sampling field")
    assert memory.peak < 20_000_000


def test_of_a_field_that_is_said_twice_the_last_counts() -> None:
    assert parse({"prompt": "x", **read_object(b'{"seed": 1, "seed": 2}', NAME)}).seed == 2
