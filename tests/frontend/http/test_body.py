"""Hostile requests to every route: each gets a short answer that names the field, and none is a fault of ours."""

import json
import threading
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, field_validator
from starlette.requests import Request

from frontend.app import create_app
from frontend.http.body import read_json
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, client_of
from tests.frontend.fake_generator import FakeGenerator, of_all_kinds
from tests.frontend.test_video_request import error_of, only_job

VIDEOS, GENERATIONS, IMAGES = ROUTES = ("/v1/videos", "/v1/videos/generations", "/v1/images/generations")
MANY = 100_000
FOX = "🦊"


@pytest.fixture
def generator() -> FakeGenerator:
    return of_all_kinds()


@pytest.fixture
def app(generator: FakeGenerator) -> FastAPI:
    return create_app(Settings(triton_metrics_url=NOWHERE), generator)


async def post(client: httpx.AsyncClient, route: str, body: bytes) -> httpx.Response:
    return await client.post(route, content=body, headers={"Content-Type": "application/json"})


def check_short(response: httpx.Response) -> None:
    """An answer is small and printable, whatever it answers."""
    assert len(response.content) < 16_000
    if response.is_error:
        error = error_of(response)
        assert len(error["message"]) < 8_100
        assert error["message"].isprintable()
        assert error["param"] is None or (len(error["param"]) < 210 and error["param"].isprintable())
    else:
        assert all(len(warning) < 200 and warning.isprintable() for warning in response.json()["warnings"])


def check_named(response: httpx.Response, param: str | None) -> None:
    """An error is about `param`, or something in it; "" is for anything."""
    if param != "":
        named = error_of(response)["param"]
        assert named == param or (param is not None and named.startswith(f"{param}."))


def with_field(field: str, value: Any) -> bytes:
    return json.dumps({"prompt": "x", field: value}).encode()


def with_raw(text: bytes) -> bytes:
    return b'{"prompt": "x", ' + text + b"}"


HOSTILE: dict[str, tuple[bytes, set[int], str | None]] = {
    # Floods
    "adapters": (with_field("lora", [{}] * MANY), {422}, "lora"),
    "few adapters": (with_field("lora", [{}] * 900), {422}, "lora"),
    "lists for adapters": (with_field("lora", [[]] * MANY), {422}, "lora"),
    "an adapter of many keys": (with_field("lora", {f"k{i}": {} for i in range(MANY // 2)}), {422}, "lora"),
    "adapters of many keys": (with_field("lora", [{f"k{i}": 1 for i in range(300)}] * 8), {422}, "lora.0"),
    "adapters further in": (with_field("extra_body", {"lora": [{}] * MANY}), {422}, "extra_body.lora"),
    "fields": (json.dumps({f"k{i}": 1 for i in range(MANY // 2)}).encode(), {422}, None),
    "values": (with_field("a", [[0] * 900] * 100), {422}, "a"),
    "long names": (
        json.dumps({"prompt": "x", **{f"{i}" + "k" * 60_000: 1 for i in range(16)}}).encode(),
        {200, 422},
        "",
    ),
    "a name of a megabyte": (with_field("k" * 1_000_000, 1), {422}, None),
    "long names of adapters' fields": (
        with_field("lora", {"k" * 60_000 + str(i): 1 for i in range(16)}),
        {422},
        "lora.0",
    ),
    "deep arrays": (with_raw(b'"a": ' + b"[" * MANY), {400}, None),
    "deep objects": (with_raw(b'"a": ' + b'{"a":' * MANY), {400}, None),
    "deep adapters": (with_raw(b'"lora": ' + b"[" * 25 + b"]" * 25), {422}, "lora.0"),
    # Long texts
    "a long prompt": (with_field("prompt", "x" * 900_000), {422}, "prompt"),
    "a long model": (with_field("model", "x" * 900_000), {422}, "model"),
    "a longish model": (with_field("model", "x" * 300), {422}, "model"),
    "a long size": (with_field("size", "1x1" * 300_000), {422}, "size"),
    "a size of digits": (with_field("size", "9" * 5000 + "x64"), {422}, "size"),
    "a long solver": (with_field("solver", "x" * 100_000), {422}, "solver"),
    "a long format": (with_field("response_format", "x" * 100_000), {422}, "response_format"),
    "a long adapter": (with_field("lora", {"name": "x" * 100_000}), {422}, "lora.0.name"),
    # Numbers
    "a long integer": (with_raw(b'"seed": ' + b"9" * 5000), {400}, None),
    "a longish integer": (with_raw(b'"seed": ' + b"9" * 900), {422}, "seed"),
    "a long fraction": (with_raw(b'"fps": 0.' + b"1" * 900_000), {400}, None),
    "infinity": (with_raw(b'"flow_shift": 1e999, "guidance_scale": -1e999'), {422}, ""),
    "literals": (with_raw(b'"guidance_scale": NaN, "a": Infinity, "b": -Infinity'), {422}, ""),
    "minus nothing": (with_raw(b'"seed": -0'), {200}, ""),
    "a number for all": (b"1" * 100_000, {400}, None),
    # Characters
    "a lone surrogate in a prompt": (b'{"prompt": "\\ud800"}', {422}, "prompt"),
    "a lone surrogate in a model": (with_raw(b'"model": "\\udfff"'), {422}, "model"),
    "a lone surrogate in a negative prompt": (with_raw(b'"negative_prompt": "a\\ud83e"'), {422}, "negative_prompt"),
    "a lone surrogate in an adapter": (with_raw(b'"lora": [{"name": "\\udead"}]'), {422}, "lora.0.name"),
    "a lone surrogate in a name": (with_raw(b'"\\ud800": 1'), {422}, None),
    "a lone surrogate that nobody reads": (with_raw(b'"a": {"b": ["\\ud800"]}'), {422}, "a.b.0"),
    "an escape sequence in a model": (with_raw(b'"model": "\\u001b[2J\\u0000\\u202e"'), {404}, "model"),
    "an escape sequence in a name": (with_raw(b'"\\u001b[2J\\r\\n\\u2028": 1'), {200, 422}, ""),
    "an escape sequence in a name of an adapter's": (with_raw(b'"lora": {"\\u001b[2J": 1}'), {422}, "lora.0.\\x1b[2J"),
    "an escape sequence in a format": (with_raw(b'"response_format": "\\u001b[2J"'), {400}, "response_format"),
    "raw control characters": (with_raw(b'"model": "\x1b[2J"'), {400}, None),
    "broken UTF-8": (with_raw(b'"a": "\xff"'), {400}, None),
    "UTF-16": ('{"prompt": "x"}'.encode("utf-16"), {400}, None),
    "UTF-16 without a mark": ('{"prompt": "x"}'.encode("utf-16-be"), {400}, None),
    "UTF-32": ('{"prompt": "x"}'.encode("utf-32"), {400}, None),
    # The grammar
    "half a body": (b'{"prompt": "x", "lora": [', {400}, None),
    "commas": (b"," * 900_000, {400}, None),
    "two bodies": (b'{"prompt": "x"}{"prompt": "x"}', {400}, None),
    "an array": (b"[" + b"0," * 900 + b"0]", {422}, None),
    "a long text": (json.dumps("x" * 100_000).encode(), {422}, None),
}
"""body, the statuses that are right, and `param`: "" for any"""


@pytest.mark.parametrize(("body", "statuses", "param"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_body_gets_a_short_answer(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, body: bytes, statuses: set[int], param: str | None
) -> None:
    for route in ROUTES:
        response = await post(client, route, body)
        assert response.status_code in statuses
        check_short(response)
        check_named(response, param)
    assert "internal error" not in caplog.text


async def test_at_most_twenty_errors_are_told(client: httpx.AsyncClient) -> None:
    message = error_of(await post(client, GENERATIONS, with_field("lora", {f"k{i:03}": 1 for i in range(100)})))[
        "message"
    ]
    sentences = message.split("; ")
    assert sentences[0] == "lora.0.k000 is not a known field, got 1"
    assert sentences[19] == "lora.0.k019 is not a known field, got 1"
    assert sentences[20:] == ["and 80 more"]


@pytest.mark.parametrize("value", ["x" * 8001, "x" * 201, 10**300])
async def test_a_long_value_is_not_repeated(client: httpx.AsyncClient, value: Any) -> None:
    for field in ("prompt", "model", "n", "lora", "solver", "size", "stream"):
        response = await post(client, GENERATIONS, with_field(field, value))
        assert str(value)[:201] not in response.text


@pytest.mark.parametrize("escaped", [True, False])
async def test_a_prompt_may_have_8000_characters_whatever_they_are(
    client: httpx.AsyncClient, generator: FakeGenerator, escaped: bool
) -> None:
    body = json.dumps({"prompt": FOX * 8000, "negative_prompt": FOX * 8000}, ensure_ascii=escaped).encode()
    assert (await post(client, GENERATIONS, body)).status_code == 200
    assert only_job(generator).prompt == FOX * 8000
    too_long = error_of(await post(client, GENERATIONS, with_field("prompt", FOX * 8001)))
    assert too_long["message"] == "prompt must have at most 8000 characters"


async def test_a_byte_order_mark_is_no_part_of_a_body(client: httpx.AsyncClient) -> None:
    assert (await post(client, GENERATIONS, b"\xef\xbb\xbf" + with_field("n", 1))).status_code == 200


@pytest.mark.parametrize("text", ["\0", "\x1b[2J", "\u202e", "\u2028", "\x9b2J", "\x7f"])
async def test_odd_characters_reach_the_model(client: httpx.AsyncClient, generator: FakeGenerator, text: str) -> None:
    prompt = f"a {text} fox"
    response = await post(client, VIDEOS, json.dumps({"prompt": prompt, "negative_prompt": text}).encode())
    assert response.json()["prompt"] == only_job(generator).prompt == prompt
    assert only_job(generator).negative_prompt == text


@pytest.mark.parametrize("name", ["\x1b[2J\r\n\u2028", "k" * 60_000, "\0"])
async def test_an_unknown_field_is_told_shortly(generator: FakeGenerator, name: str) -> None:
    async with client_of(create_app(Settings(unknown_fields="refuse"), generator)) as client:
        for body in (with_field(name, 1), with_field("extra_body", {name: 1}), with_field(f"{name}.", [1])):
            response = await post(client, GENERATIONS, body)
            assert (response.status_code, error_of(response)["code"]) == (422, "unknown_parameter")
            check_short(response)


# Forms


def form_of(*parts: tuple[str, bytes]) -> dict[str, Any]:
    lines = [
        b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (n.encode(), text) for n, text in parts
    ]
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return {"content": b"".join(lines) + b"--b--\r\n", "headers": headers}


PROMPT = ("prompt", b"x")
FORMS: dict[str, tuple[list[tuple[str, bytes]], set[int], str | None]] = {
    "adapters": ([PROMPT, ("lora", b"[" + b"{}," * 40_000 + b"{}]")], {422}, "lora"),
    "few adapters": ([PROMPT, ("lora", b"[" + b"{}," * 900 + b"{}]")], {422}, "lora"),
    "adapters further in": ([PROMPT, ("extra_body[lora]", b"[" + b"{}," * 40_000 + b"{}]")], {422}, "extra_body.lora"),
    "many fields of some": ([PROMPT] + [(f"f{i}", b"[" + b"{}," * 900 + b"{}]") for i in range(199)], {422}, "f5"),
    "deep names": ([PROMPT, ("lora" + "[a]" * 1000, b"1")], {422}, "lora"),
    "deep text": ([PROMPT, ("lora", b"[" * 100_000)], {422}, "lora"),
    "open brackets": ([PROMPT, ("lora" + "[" * 1000, b"1")], {200, 422}, ""),
    "an array of parts": ([PROMPT, ("lora[]" + "[]" * 500, b"1")], {422}, "lora"),
    "a long name": ([PROMPT, ("x" * 3900, b"1")], {200, 422}, ""),
    "a name that is too long": ([PROMPT, ("x" * 1_000_000, b"1")], {400}, None),
    "a long text": ([PROMPT, ("model", b"x" * 900_000)], {400}, "model"),
    "a long number": ([PROMPT, ("seed", b"9" * 100_000)], {422}, "seed"),
    "infinity": ([PROMPT, ("flow_shift", b"1e999")], {422}, "flow_shift"),
    "a text in no charset": ([PROMPT, ("negative_prompt", b"caf\xe9")], {400}, "negative_prompt"),
    "a prompt in no charset": ([("prompt", b"\xff\xfea\0")], {400}, "prompt"),
    "a lone surrogate in JSON": ([PROMPT, ("lora", b'{"name": "\\ud800"}')], {422}, "lora.name"),
    "an escape sequence in a name": ([PROMPT, ("a\x1b[2J", b"1")], {200, 422}, ""),
    "an escape sequence in a model": ([PROMPT, ("model", b"\x1b[2J")], {404}, "model"),
    "a part of an object that is text": ([PROMPT, ("lora", b"ink"), ("lora[name]", b"ink")], {422}, "lora[name]"),
    "a long prose that nobody reads": ([PROMPT, ("notes", b"[so, many words, " * 7000)], {200, 422}, ""),
}


@pytest.mark.parametrize(("parts", "statuses", "param"), FORMS.values(), ids=FORMS.keys())
async def test_a_hostile_form_gets_a_short_answer(
    client: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    parts: list[tuple[str, bytes]],
    statuses: set[int],
    param: str | None,
) -> None:
    response = await client.post(VIDEOS, **form_of(*parts))
    assert response.status_code in statuses
    check_short(response)
    check_named(response, param)
    assert "internal error" not in caplog.text


async def test_the_text_of_a_form_is_utf8(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    response = await client.post(
        VIDEOS, **form_of(("prompt", f"ein Fuchs läuft {FOX}\0".encode()), ("_charset_", b"UTF-8"))
    )
    assert response.json()["warnings"] == []
    assert only_job(generator).prompt == f"ein Fuchs läuft {FOX}\0"


# Paths and queries


PATHS = (
    "/v1/models/{}",
    "/v1/loras?model={}",
    "/v1/videos/{}",
    "/v1/videos/{}/content",
    "/v1/videos/x/content?variant={}",
    "/{}",
)


@pytest.mark.parametrize("text", ["x" * 60_000, "%1b%5b2J" * 1000, "%00", "%ff%fe", "%ed%a0%80", "%E2%80%AE", "%F0%9F"])
async def test_a_hostile_path_gets_a_short_answer(client: httpx.AsyncClient, text: str) -> None:
    for path in PATHS:
        response = await client.get(path.format(text))
        assert response.status_code == 404
        assert len(response.content) < 1_500
        check_short(response)


# Threads


class Witness(BaseModel):
    """Notes by which thread it is made."""

    thread: int | str

    @field_validator("thread")
    @classmethod
    def _note(cls, value: int | str) -> int:
        return threading.get_ident()


@pytest.mark.parametrize(("size", "here"), [(2000, True), (8000, True), (9000, False), (1_000_000, False)])
async def test_a_large_body_is_read_beside_the_event_loop(size: int, here: bool) -> None:
    text = b'{"thread": "' + b"x" * 1000 + b'"' + b" " * (size - 1014) + b"}"
    messages = iter([text[:500], text[500:]])

    async def receive() -> dict[str, Any]:
        body = next(messages)
        return {"type": "http.request", "body": body, "more_body": len(body) == 500}

    read = await read_json(
        Request({"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}, receive),
        Witness,
    )
    assert (read.thread == threading.get_ident()) == here
