"""Bodies that are sent compressed are read as if they were not, within the limits of those that are not."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from frontend.app import create_app
from frontend.errors import InvalidContentEncoding, UnsupportedContentEncoding
from frontend.http.content_encoding import MAX_MEMBERS, PIECE_BYTES, DecodedBody, encoding_of
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import URL, error_of, only_job
from tests.model_cards import model_card, text_to_image_card

JSON = {"Content-Type": "application/json"}
BODY = json.dumps({"prompt": "a red circle moves right", "seed": 3}).encode()


def raw_deflate(body: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-15)
    return encoder.compress(body) + encoder.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip that is stored": ("gzip", lambda body: gzip.compress(body, 0)),
    "several members": ("gzip", lambda body: b"".join(gzip.compress(body[i : i + 7]) for i in range(0, len(body), 7))),
    "empty members": ("gzip", lambda body: gzip.compress(b"") + gzip.compress(body) + gzip.compress(b"")),
    "x-gzip": ("X-GZip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without its header": ("deflate", raw_deflate),
    "identity": ("identity", bytes),
    "nothing": ("", bytes),
    "identity beside it": ("identity , gzip", gzip.compress),
}


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator([model_card(), text_to_image_card()])


async def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for first in range(0, len(body), size):
        yield body[first : first + size]


async def post(
    client: httpx.AsyncClient, content: Any, encoding: str, url: str = URL, **headers: str
) -> httpx.Response:
    return await client.post(url, content=content, headers=JSON | {"Content-Encoding": encoding} | headers)


@pytest.mark.parametrize("size", [1, 10, 10_000])
@pytest.mark.parametrize("encoder", ENCODERS)
async def test_a_body_is_what_it_decodes_to(
    client: httpx.AsyncClient, generator: FakeGenerator, encoder: str, size: int
) -> None:
    name, encode = ENCODERS[encoder]
    response = await post(client, in_pieces(encode(BODY), size), name)
    assert response.status_code == 200, response.text
    assert (only_job(generator).prompt, only_job(generator).seed) == ("a red circle moves right", 3)


MULTIPART = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na fox\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("url", "content_type", "body"),
    [
        ("/v1/videos/generations", "application/json", b'{"prompt": "a fox"}'),
        ("/v1/images/generations", "application/json", b'{"prompt": "a fox"}'),
        ("/v1/videos", "application/json", b'{"prompt": "a fox"}'),
        ("/v1/videos", "application/x-www-form-urlencoded", urlencode({"prompt": "a fox"}).encode()),
        ("/v1/videos", "multipart/form-data; boundary=b", MULTIPART),
    ],
)
async def test_every_kind_of_body_can_be_encoded(
    client: httpx.AsyncClient, generator: FakeGenerator, url: str, content_type: str, body: bytes
) -> None:
    response = await post(client, gzip.compress(body), "gzip", url, **{"Content-Type": content_type})
    assert response.status_code == 200, response.text
    assert only_job(generator).prompt == "a fox"


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip,br", "\x1b[2J", "x" * 3000])
async def test_what_is_encoded_otherwise_is_refused_by_name(client: httpx.AsyncClient, encoding: str) -> None:
    response = await post(client, BODY, encoding)
    error = error_of(response)
    assert (response.status_code, error["code"]) == (415, "unsupported_content_encoding")
    assert response.headers["accept-encoding"] == "gzip, deflate"
    assert error["message"].startswith("the Content-Encoding must be gzip, deflate or identity, once, got '")
    assert error["message"].isprintable()
    assert len(error["message"]) < 200
    assert ascii(encoding)[1:20] in error["message"]


def test_several_headers_are_one_list() -> None:
    assert encoding_of(["identity", "gzip"]) == "gzip"
    with pytest.raises(UnsupportedContentEncoding, match="'gzip, gzip'"):
        encoding_of(["gzip", "gzip"])


async def test_a_request_without_a_body_has_no_encoding(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health", headers={"Content-Encoding": "br"})).status_code == 200
    assert (await post(client, b"", "gzip")).status_code == 422


ENCODED = gzip.compress(BODY)
BROKEN = {
    "not gzip": ("gzip", BODY),
    "zlib for gzip": ("gzip", zlib.compress(BODY)),
    "gzip for deflate": ("deflate", ENCODED),
    "only begun": ("gzip", ENCODED[:5]),
    "cut in its data": ("gzip", ENCODED[:-20]),
    "cut in its checksum": ("gzip", ENCODED[:-1]),
    "cut deflate": ("deflate", zlib.compress(BODY)[:-1]),
    "wrong checksum": ("gzip", ENCODED[:-8] + b"\0\0\0\0" + ENCODED[-4:]),
    "wrong length": ("gzip", ENCODED[:-4] + b"\0\0\0\0"),
    "damaged": ("gzip", ENCODED[:15] + b"\xff\xff\xff" + ENCODED[18:]),
    "more after its end": ("gzip", ENCODED + b"x"),
    "half a member after its end": ("gzip", ENCODED + ENCODED[:15]),
    "more after the end of deflate": ("deflate", zlib.compress(BODY) + b"x"),
    "deflate twice": ("deflate", zlib.compress(BODY) * 2),
    "too many members": ("gzip", gzip.compress(b"") * (MAX_MEMBERS + 1)),
}


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("broken", BROKEN)
async def test_what_is_not_as_declared_is_refused(
    client: httpx.AsyncClient, generator: FakeGenerator, broken: str, size: int
) -> None:
    encoding, body = BROKEN[broken]
    response = await post(client, in_pieces(body, size), encoding)
    error = error_of(response)
    assert (response.status_code, error["code"]) == (400, "invalid_content_encoding"), error
    assert encoding in error["message"]
    assert generator.jobs == {}


LIMIT = 200_000


@pytest.fixture
def limited(generator: FakeGenerator) -> FastAPI:
    return create_app(Settings(max_body_bytes=LIMIT, max_upload_bytes=3 * LIMIT), generator)


def padded(size: int) -> bytes:
    return b'{"prompt": "x"' + b" " * (size - 15) + b"}"


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413), (100 * LIMIT, 413)])
@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress, raw_deflate])
async def test_the_limit_is_that_of_what_it_decodes_to(
    limited: FastAPI, encode: Callable[[bytes], bytes], size: int, status: int
) -> None:
    encoding = "gzip" if encode is gzip.compress else "deflate"
    async with client_of(limited) as client:
        response = await post(client, encode(padded(size)), encoding)
        upload = await post(client, encode(padded(size)), encoding, "/v1/videos")
    assert response.status_code == status
    assert upload.status_code == (413 if size > 3 * LIMIT else 200)
    if status == 413:
        expected = ("payload_too_large", f"The body must have at most {LIMIT} bytes, decoded")
        assert (error_of(response)["code"], error_of(response)["message"]) == expected


async def test_it_is_also_that_of_what_is_sent(limited: FastAPI) -> None:
    """What decodes to nothing would otherwise have no end."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield gzip.compress(b"")[:10]
        while sent < 100 * LIMIT:
            sent += 5_000
            yield b"\0\0\0\xff\xff" * 1_000  # stored blocks of nothing

    async with client_of(limited) as client:
        response = await post(client, endless(), "gzip")
    assert response.status_code == 413
    assert sent <= LIMIT + 5_000


async def test_a_bomb_is_left_alone_at_the_limit(limited: FastAPI) -> None:
    bomb = gzip.compress(gzip.compress(bytes(1_000 * LIMIT)) + bytes(500 * LIMIT))
    async with client_of(limited) as client:
        await post(client, b"", "gzip")
        tracemalloc.start()
        response = await post(client, bomb, "gzip")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert response.status_code == 413
    assert peak < 10 * LIMIT


async def test_pieces_are_small_however_much_comes_at_once() -> None:
    content = bytes(10 * PIECE_BYTES + 5)
    messages = iter([{"type": "http.request", "body": gzip.compress(content), "more_body": False}])

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    body = DecodedBody(receive, "gzip")
    pieces = []
    while (message := await body.receive()).get("more_body"):
        pieces.append(message["body"])
    assert b"".join([*pieces, message["body"]]) == content
    assert max(map(len, pieces)) == PIECE_BYTES
    assert await body.receive() == {"type": "http.disconnect"}


async def test_a_client_that_leaves_is_no_end_of_a_body() -> None:
    messages = iter([{"type": "http.request", "body": gzip.compress(BODY)[:20], "more_body": True}])

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    body = DecodedBody(receive, "gzip")
    while (message := await body.receive())["type"] == "http.request":
        pass
    assert message == {"type": "http.disconnect"}


async def test_random_bytes_never_do_more_than_be_refused() -> None:
    import random

    numbers = random.Random(5)
    for _ in range(300):
        encoded = bytearray(gzip.compress(numbers.randbytes(numbers.randrange(300)), numbers.randrange(10)))
        for _ in range(numbers.randrange(4)):
            encoded[numbers.randrange(len(encoded))] = numbers.randrange(256)
        encoded = encoded[: numbers.randrange(len(encoded) + 1)]
        try:
            expected = gzip.decompress(encoded)
        except (OSError, EOFError, zlib.error):
            expected = None
        pieces = iter([encoded[i : i + 50] for i in range(0, len(encoded), 50)])

        async def receive(pieces: Any = pieces) -> Message:
            piece = next(pieces, None)
            return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

        body = DecodedBody(receive, "gzip")
        decoded = b""
        try:
            while (message := await body.receive()).get("more_body"):
                decoded += message["body"]
        except InvalidContentEncoding:
            continue  # Python's own takes zeros, too, after the end
        assert decoded == expected


async def test_what_is_decoded_counts_as_held(generator: FakeGenerator) -> None:
    settings = {"triton_metrics_url": NOWHERE, "max_held_body_bytes": 300_000, "held_body_wait_seconds": 0.05}
    app = create_app(Settings.model_validate({**settings, "max_body_bytes": 1_000_000}), generator)
    async with client_of(app) as client:
        for _ in range(3):  # what was refused is held no more
            response = await post(client, gzip.compress(padded(900_000)), "gzip")
            assert (response.status_code, error_of(response)["code"]) == (503, "too_many_uploads")
            assert (await post(client, gzip.compress(padded(200_000)), "gzip")).status_code == 200


async def test_over_a_real_connection(serve: Serve, app: FastAPI) -> None:
    with serve(app) as url:
        async with httpx.AsyncClient(trust_env=False) as client:
            for _ in range(2):  # the connection can be used again
                response = await post(client, gzip.compress(BODY), "gzip", url + URL)
                assert response.status_code == 200
                assert (await post(client, BODY, "br", url + URL)).status_code == 415
            response = await post(client, in_pieces(gzip.compress(bytes(50_000_000)), 1000), "gzip", url + URL)
            assert response.status_code == 413
