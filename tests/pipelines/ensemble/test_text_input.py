"""What any gRPC client may send to `generate` as text."""

import json

import pytest

from pipelines.ensemble.text_input import MAX_BYTES, read_json, read_text
from protocol.errors import InvalidRequest
from protocol.lora import MAX_ADAPTERS
from protocol.sampling import parse
from tests.memory import traced


def test_the_longest_request_fits() -> None:
    prompt = "🦊" * 8000
    pair = {"high": "🦊" * 255, "low": "🦊" * 255, "scale": -9.123456789012345}
    lora = json.dumps([pair] * MAX_ADAPTERS).encode()

    request = parse({"prompt": read_text(prompt.encode(), "prompt"), "lora": read_json(lora, "lora")})

    assert request.prompt == prompt
    assert [adapter.high for adapter in request.lora] == [pair["high"]] * MAX_ADAPTERS


@pytest.mark.parametrize("value", [b"\xff", b"\xed\xa0\x80", b"x" * (MAX_BYTES + 1)], ids=lambda value: value[:4])
def test_text_that_is_long_or_not_utf8_is_refused_by_name(value: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_text(value, "prompt")
    assert refused.value.field == "prompt"
    assert len(refused.value.message) < 100


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"ink",
        b"{",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"9" * 60_000,
        b'{"name": "\\ud800"}',
        b"[" + b"{}," * 20_000 + b"{}]",
        b"[" + b"{}," * 300_000 + b"{}]",
        b'{"name": "ink", "scale": 1e999}',
        b'{"name": "ink", "scale": NaN}',
        b'{"name": "ink", ' + b", ".join(b'"k%d": 1' % i for i in range(4_000)) + b"}",
    ],
    ids=lambda value: f"{value[:20]!r} {len(value)}",
)
def test_adapters_that_are_no_adapters_are_refused_by_name(value: bytes) -> None:
    with traced() as memory, pytest.raises(InvalidRequest) as refused:
        parse({"prompt": "x", "lora": read_json(value, "lora")})

    assert refused.value.field == "lora"
    assert len(refused.value.to_text()) < 200
    assert memory.peak < 20_000_000
