"""The response, and what happens when a job does not end well."""

import asyncio
import base64
import io
import time
from typing import Any

import av
import httpx
import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.errors import EngineFailed, EngineStalled, EngineUnavailable
from frontend.settings import Settings
from protocol.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidRequest,
    ModelFailed,
    ModelNotFound,
    PipelineError,
)
from tests.frontend.conftest import client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import URL, error_of, post
from tests.model_cards import image_to_video_card, model_card
from tests.waiting import SECONDS


async def test_the_response_has_the_video_and_what_was_really_made(client: httpx.AsyncClient) -> None:
    response = await post(client, size="32x16", num_frames=6, fps=23.976, seed=7)
    body = response.json()
    (entry,) = body.pop("data")
    assert abs(body.pop("created") - time.time()) < 5
    assert body.pop("timings").keys() == entry["timings"].keys()
    assert body == {
        "model": "toy-wan-t2v",
        "size": "32x16",
        "num_frames": 5,
        "fps": 23.976,
        "seconds": pytest.approx(5 / 23.976),
        "params": {
            "num_inference_steps": 3,
            "guidance_rescale": 0.0,
            "guidance_scale": 4.0,
            "guidance_scale_2": 3.0,
            "flow_shift": 12.0,
            "boundary_ratio": 0.875,
            "solver": "unipc",
            "lora": [],
        },
        "warnings": ["num_frames: 6 is not 4k+1, 5 were made"],
    }
    assert entry["seed"] == 7
    with av.open(io.BytesIO(base64.b64decode(entry["b64_json"])), "r") as container:
        stream = container.streams.video[0]
        assert stream.average_rate is not None
        assert (stream.width, stream.height, float(stream.average_rate)) == (32, 16, 23.976)
        assert len(list(container.decode(video=0))) == 5


async def test_timings_are_of_each_video_and_of_the_request(client: httpx.AsyncClient) -> None:
    body = (await post(client, n=2)).json()
    for entry in body["data"]:
        assert {name: value for name, value in entry["timings"].items() if name != "encode_seconds"} == {
            "queue_seconds": 0.1,
            "text_seconds": 0.2,
            "image_seconds": 0.0,
            "denoise_seconds": 0.3,
            "decode_seconds": 0.4,
            "total_seconds": 1.0,
        }
        assert 0 < entry["timings"]["encode_seconds"] < 1
    assert body["timings"]["denoise_seconds"] == pytest.approx(0.6)
    assert 0 < body["timings"]["total_seconds"] < 1  # by the clock, whatever the generator says


@pytest.mark.parametrize("n", [1, 3])
async def test_triton_gets_the_request_id(client: httpx.AsyncClient, generator: FakeGenerator, n: int) -> None:
    response = await client.post(URL, json={"prompt": "x", "n": n}, headers={"X-Request-Id": "abc"})
    assert response.headers["X-Request-Id"] == "abc"
    assert sorted(generator.jobs) == (["abc"] if n == 1 else ["abc-0", "abc-1", "abc-2"])


async def test_jobs_get_the_servers_deadline(generator: FakeGenerator) -> None:
    app = create_app(Settings(job_timeout_seconds=12.5), generator)
    async with client_of(app) as client:
        await post(client)
    assert generator.timeouts == [12.5]


async def test_videos_of_one_request_run_at_the_same_time(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    request = asyncio.create_task(post(client, n=4))
    async with asyncio.timeout(SECONDS):
        while len(generator.jobs) < 4:
            await asyncio.sleep(0.01)
    generator.step_gate.set()
    assert (await request).status_code == 200


ENDINGS = [
    (InvalidRequest("must be odd", "width"), 400, "invalid_request_error", "unsupported_value", "width: must be odd"),
    (ModelNotFound("gone"), 404, "invalid_request_error", "model_not_found", "gone"),
    (EngineUnavailable("Triton is away"), 503, "server_error", "service_unavailable", "Triton is away"),
    (EngineStalled("stopped responding"), 503, "server_error", "engine_stalled", "stopped responding"),
    (ModelFailed("wan_vae died"), 503, "server_error", "model_failed", "wan_vae died"),
    (Cancelled("shutting down"), 503, "server_error", "cancelled", "shutting down"),
    (DeadlineExceeded("not done in 5 s"), 504, "server_error", "deadline_exceeded", "not done in 5 s"),
]


@pytest.mark.parametrize(("error", "status", "kind", "code", "message"), ENDINGS, ids=lambda value: str(value)[:30])
async def test_each_way_to_fail_has_its_status(
    client: httpx.AsyncClient,
    generator: FakeGenerator,
    error: Exception,
    status: int,
    kind: str,
    code: str,
    message: str,
) -> None:
    generator.error_for = lambda params: error
    response = await post(client)
    body = error_of(response)
    assert (response.status_code, body["type"], body["code"], body["message"]) == (status, kind, code, message)
    assert ("Retry-After" in response.headers) == (status == 503)


@pytest.mark.parametrize(
    "error", [EngineFailed("secret detail"), RuntimeError("secret detail"), PipelineError("secret")]
)
async def test_a_fault_of_ours_is_told_by_its_id_only(
    client: httpx.AsyncClient, generator: FakeGenerator, error: Exception
) -> None:
    generator.error_for = lambda params: error
    response = await client.post(URL, json={"prompt": "x"}, headers={"X-Request-Id": "find-me"})
    assert response.status_code == 500
    assert response.headers["X-Request-Id"] == "find-me"
    assert error_of(response) == {
        "message": "Internal error. Its request id is find-me.",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }


async def test_a_video_that_lacks_frames_is_not_handed_out(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.drop_frames = 4
    assert (await post(client)).status_code == 500


async def test_when_one_video_fails_the_others_are_cancelled(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    generator.error_for = lambda params: ModelFailed("the third died") if params.seed == 12 else None
    response = await client.post(URL, json={"prompt": "x", "n": 4, "seed": 10}, headers={"X-Request-Id": "r"})
    assert response.status_code == 503
    assert error_of(response)["message"] == "the third died"
    assert sorted(generator.cancelled) == ["r-0", "r-1", "r-3"]


# Models


async def test_an_unknown_model_is_404_naming_those_served(client: httpx.AsyncClient) -> None:
    response = await post(client, model="sora")
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "toy-wan-t2v" in error["message"]


async def test_without_a_name_it_is_the_first_model_that_makes_videos_from_text() -> None:
    generator = FakeGenerator([image_to_video_card(), model_card("one"), model_card("org/two")])
    async with client_of(create_app(generator=generator)) as client:
        unnamed = await post(client)
        named = await post(client, model="org/two")
    assert (unnamed.json()["model"], named.json()["model"]) == ("one", "org/two")


@pytest.mark.parametrize("reason", [None, EngineUnavailable("connection refused")])
async def test_without_a_model_it_is_503(reason: Exception | None) -> None:
    generator = FakeGenerator([])
    generator.describe_error = reason
    async with client_of(create_app(generator=generator)) as client:
        response = await post(client)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert error_of(response)["message"] == (reason.args[0] if reason else "no model is loaded")


async def test_a_wrong_request_is_told_so_though_triton_is_away(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    generator.describe_error = EngineUnavailable("connection refused")
    assert (await post(client, response_format="gif")).status_code == 400
    assert (await post(client, n=11)).status_code == 422


# Bodies


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "EOF while parsing an object at line 1 column 1"),
        (b'{"prompt": "x",}', "trailing comma at line 1 column 16"),
        (b"prompt=x", "expected value at line 1 column 1"),
        (b'{"prompt": "\xff"}', "it is not UTF-8"),
        (b'{"prompt": "x", "n": ' + b"9" * 5000 + b"}", "it has a number with too many digits"),
        (b'{"prompt": "x", "a": ' + b"[" * 40_000 + b"]" * 40_000 + b"}", "it is nested too deeply"),
        (b'{"a":' * 15_000, "it is nested too deeply"),
    ],
    ids=lambda value: repr(value[:20]),
)
async def test_what_is_not_json_is_400(client: httpx.AsyncClient, body: bytes, message: str) -> None:
    response = await client.post(URL, content=body, headers={"Content-Type": "application/json"})
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_json", None)
    assert error["message"] == f"The body is not valid JSON: {message}"


@pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b"5", b"null"])
async def test_json_that_is_no_object_is_422(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post(URL, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert error_of(response)["message"].startswith("The body ")


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "application/x+json"])
async def test_json_by_any_of_its_names(client: httpx.AsyncClient, content_type: str) -> None:
    response = await client.post(URL, content=b'{"prompt": "x"}', headers={"Content-Type": content_type})
    assert response.status_code == 200


@pytest.mark.parametrize("content_type", [None, "text/plain", "multipart/form-data; boundary=x", "a" * 9000, "json"])
async def test_another_content_type_is_415(client: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = await client.post(URL, content=b'{"prompt": "x"}', headers=headers)
    error = error_of(response)
    assert (response.status_code, error["code"]) == (415, "unsupported_media_type")
    assert "application/json" in error["message"]
    assert len(error["message"]) < 200


# Routing


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("POST", "/nowhere", 404, "not_found"),
        ("PUT", URL, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
    ],
)
async def test_routing_errors_are_in_the_envelope_too(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    assert error_of(response)["code"] == code
    assert path in error_of(response)["message"]
    assert ("Allow" in response.headers) == (status == 405)


async def test_every_error_is_documented(app: FastAPI) -> None:
    operation: dict[str, Any] = app.openapi()["paths"][URL]["post"]
    documented = operation["responses"]
    errors = ["400", "401", "403", "404", "409", "413", "415", "421", "422", "429", "500", "503", "504", "507"]
    assert sorted(documented) == ["200", "202", *errors]
    for status, response in documented.items():
        schema = response["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
        assert schema == {"200": "VideoGenerationResponse", "202": "JobObject"}.get(status, "ErrorBody")
