"""`generate` over gRPC on the real tritonserver: what it streams, what it refuses, and how jobs end."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc.aio as grpcclient
from tritonclient.utils import InferenceServerException

from tests.waiting import until

from .grpc_client import Generated, GenerateError, Response, generate, stream
from .running_server import RunningServer

PROMPT = "a red circle moving right on a black background"
LONG: dict[str, Any] = {"prompt": PROMPT, "width": 128, "height": 128, "num_frames": 33, "num_inference_steps": 200}


@asynccontextmanager
async def running_job(server: RunningServer) -> AsyncIterator[AsyncGenerator[Response]]:
    """A long job's responses, after its first step; cancelled at the end."""
    async with aclosing(stream(server.grpc, **LONG)) as responses:
        async for response in responses:
            if response.progress and response.progress[0] > 0:
                break
        yield responses


async def steps_go_on(responses: AsyncGenerator[Response]) -> None:
    before = (await anext(responses)).progress[0]
    async for response in responses:
        if response.progress[0] > before + 1:
            return


async def test_progress_comes_after_every_step_and_frames_as_they_are_decoded(server: RunningServer) -> None:
    video = await generate(server.grpc, prompt=PROMPT, seed=1, num_frames=17, num_inference_steps=6)

    progress = [response.progress for response in video.responses if response.progress]
    steps = sorted({counts[0] for counts in progress})
    assert steps == list(range(7))
    assert progress == sorted(progress)
    chunks = [response.frames.shape for response in video.responses if response.frames is not None]
    assert chunks == [(1, 64, 64, 3)] + [(4, 64, 64, 3)] * 4
    assert progress[-1] == [6, 6, 17, 17]
    assert [response.event["type"] for response in video.responses][-2:] == ["progress", "done"]


async def test_the_report_says_what_was_really_used(server: RunningServer) -> None:
    info = (await generate(server.grpc, prompt=PROMPT, num_frames=8, guidance_scale=6.5)).info

    assert info["model"] == "toy-wan-t2v"
    assert info["spec"]["num_frames"] == 5
    assert (info["spec"]["guidance_scale"], info["spec"]["guidance_scale_2"]) == (6.5, 6.5)
    assert info["spec"]["seed"] >= 0
    timings = info["timings"]
    parts = sum(timings[f"{phase}_seconds"] for phase in ("queue", "text", "denoise", "decode"))
    assert 0 < parts <= timings["total_seconds"] + 1e-3


async def test_describe_returns_the_cards(server: RunningServer) -> None:
    info = (await generate(server.grpc, task="describe")).info
    (card,) = info["models"]
    assert (card["id"], card["family"], card["defaults"]["num_frames"]) == ("toy-wan-t2v", "wan_t2v", 9)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "invalid_request[prompt]"),
        ({"prompt": "  "}, "invalid_request[prompt]"),
        ({"prompt": PROMPT, "width": 40}, "invalid_request[width]"),
        ({"prompt": PROMPT, "num_frames": 165}, "invalid_request[num_frames]"),
        ({"prompt": PROMPT, "guidance_scale": float("nan")}, "invalid_request[guidance_scale]"),
        ({"prompt": PROMPT, "seed": -1}, "invalid_request[seed]"),
        ({"prompt": PROMPT, "model": "no-such-model"}, "model_not_found[model]"),
        ({"prompt": b"\xff"}, "invalid_request[prompt]: must be UTF-8"),
        ({"prompt": "x" * 8001}, "invalid_request[prompt]"),
        ({"prompt": PROMPT, "solver": "magic"}, "invalid_request[solver]"),
        ({"prompt": PROMPT, "image": np.zeros((0, 0, 3), np.uint8)}, "invalid_request[image]"),
        ({"prompt": PROMPT, "sampling_parameters": "{"}, "invalid_request[sampling_parameters]: must be JSON"),
        ({"prompt": PROMPT, "sampling_parameters": "[" * 20_000}, "invalid_request[sampling_parameters]: must be JSON"),
        (
            {"prompt": PROMPT, "sampling_parameters": "[]"},
            "invalid_request[sampling_parameters]: must be a JSON object",
        ),
        ({"prompt": PROMPT, "sedd": 1}, "invalid_request[sedd]: is not a known sampling field"),
        (
            {"prompt": PROMPT, "sampling_parameters": '{"prompt": "x"}'},
            "invalid_request[prompt]: is an input of its own",
        ),
        ({"prompt": PROMPT, "true_cfg_scale": 4.0}, "invalid_request[true_cfg_scale]: toy-wan-t2v has no use for it"),
        ({"task": "sing"}, "invalid_request[task]: must be generate, describe or loras"),
        ({"prompt": PROMPT, "timeout_seconds": float("nan")}, "invalid_request[timeout_seconds]"),
        ({"prompt": PROMPT, "timeout_seconds": float("inf")}, "invalid_request[timeout_seconds]"),
        ({"prompt": PROMPT, "timeout_seconds": 0.0}, "invalid_request[timeout_seconds]"),
        ({"prompt": PROMPT, "timeout_seconds": 0.01}, "deadline_exceeded"),
    ],
)
async def test_refusals_name_the_field(server: RunningServer, fields: dict[str, Any], error: str) -> None:
    with pytest.raises(GenerateError) as refused:
        await generate(server.grpc, **fields)
    assert str(refused.value).startswith(error)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("name", "datatype", "shape", "content"),
    [
        ("prompt", "BYTES", [0], b""),
        ("prompt", "BYTES", [1], b""),
        ("prompt", "BYTES", [1], b"\x05\0\0\0four"),
        ("prompt", "BYTES", [1], b"\xff\xff\xff\xff"),
        ("prompt", "BYTES", [2], b"\x01\0\0\0a\x01\0\0\0b"),
        ("prompt", "INT32", [1], b"\0\0\0\0"),
        ("timeout_seconds", "FP64", [1], b"\0\0"),
        ("timeout_seconds", "FP64", [0], b""),
        ("sampling_parameters", "BYTES", [2], b"\x02\0\0\0{}\x02\0\0\0{}"),
        ("width", "INT32", [1], b"\0\0\0\0"),  # a sampling parameter, and no input
        ("image", "UINT8", [2, 2, 3], b"\0"),
    ],
)
async def test_triton_refuses_what_is_no_tensor_of_the_inputs_kind(
    server: RunningServer, name: str, datatype: str, shape: list[int], content: bytes
) -> None:
    malformed = grpcclient.InferInput(name, shape, datatype)
    malformed._raw_content = content
    with pytest.raises(GenerateError, match=f"'{name}'"):
        await generate(server.grpc, **{"prompt": PROMPT, name: malformed})
    await generate(server.grpc, task="describe")


async def test_requests_leave_no_errors_in_tritons_log(server: RunningServer) -> None:
    """Those that are done at once are the ones that Triton's own event loop complained about."""
    before = server.triton_errors()
    for _ in range(10):
        await asyncio.gather(*(generate(server.grpc, task="describe") for _ in range(10)))
    assert server.triton_errors() == before


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"prompt": "x" * 2_000_000}, "invalid_request[prompt]: must have at most 65,536 bytes"),
        ({"prompt": b"\xff"}, "invalid_request[prompt]: must be UTF-8"),
        ({"prompt": PROMPT, "model": "\x1b[2J" + "x" * 60_000}, "model_not_found[model]: no model '\\x1b[2Jxxx"),
        ({"prompt": PROMPT, "lora": [{}] * 500_000}, "invalid_request[sampling_parameters]: must have at most 262,144"),
        ({"prompt": PROMPT, "lora": [{}] * 20_000}, "invalid_request[lora]: must have at most 8 entries"),
        ({"prompt": PROMPT, "sampling_parameters": "[" * 60_000}, "invalid_request[sampling_parameters]: must be JSON"),
        ({"prompt": PROMPT, "lora": {"name": "\ud800"}}, "invalid_request[sampling_parameters]: must be JSON"),
        ({"prompt": PROMPT, "\x1b[2J" + "x" * 60_000: 1}, "invalid_request[\\x1b[2Jxxx"),
        (
            {"prompt": PROMPT, "lora": {"name": "\u001b[2J\u0000"}},
            "invalid_request[lora]: no adapter '\\x1b[2J\\x00'",
        ),
        ({"prompt": PROMPT, "solver": "x" * 60_000}, "invalid_request[solver]"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_hostile_text_is_refused_shortly(server: RunningServer, fields: dict[str, Any], error: str) -> None:
    with pytest.raises(GenerateError) as refused:
        await generate(server.grpc, **fields)
    assert str(refused.value).startswith(error)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000


async def test_no_request_id_reaches_a_terminal_as_it_is(server: RunningServer) -> None:
    await generate(server.grpc, request_id="good\x1b[2J\n\u202e" + "x" * 10_000, prompt=PROMPT, num_inference_steps=1)
    with pytest.raises(GenerateError):
        await generate(server.grpc, request_id="bad\x1b[2J\n\u202e", prompt="")

    def logs() -> str:
        return "".join(file.read_text(errors="surrogateescape") for file in server.run_dir.rglob("*.log"))

    def logged(beginning: str) -> bool:
        return any(beginning in line for line in logs().replace("\\\\", "\\").splitlines())  # Triton quotes messages

    await until(lambda: logged(r"job good\x1b[2J\n\u202exxx"))
    await until(lambda: logged(r"job bad\x1b[2J\n\u202e: invalid_request[prompt]"))
    assert "\x1b[2J" not in logs()  # Triton's HTTP library colours a warning of its own
    assert "x" * 300 not in logs()


async def test_equal_prompts_are_encoded_once(server: RunningServer) -> None:
    prompt = f"a yellow triangle rising {time.time()}"
    await generate(server.grpc, prompt=prompt, num_inference_steps=1)
    calls = server.metric("nv_inference_request_success", model="wan_text_encoder")
    found = server.metric("condition_cache_hits_total", model="wan_text_encoder")

    await generate(server.grpc, prompt=prompt, num_inference_steps=1)
    await generate(server.grpc, prompt=f" {prompt}  ", num_inference_steps=1)  # these are the same tokens

    assert server.metric("nv_inference_request_success", model="wan_text_encoder") == calls
    assert server.metric("condition_cache_hits_total", model="wan_text_encoder") == found + 4  # and the negatives


async def test_equal_prompts_at_the_same_time_are_encoded_once(server: RunningServer) -> None:
    await generate(server.grpc, prompt=PROMPT, num_inference_steps=1)  # the negative prompt is known from here
    calls = server.metric("nv_inference_request_success", model="wan_text_encoder")
    missed = server.metric("condition_cache_misses_total", model="wan_text_encoder")
    kept = server.metric("condition_cache_bytes")

    prompt = f"a green square falling {time.time()}"
    videos = await asyncio.gather(
        *(generate(server.grpc, prompt=prompt, seed=seed, num_inference_steps=1) for seed in range(4))
    )

    assert len({video.frames.tobytes() for video in videos}) == 4
    assert server.metric("nv_inference_request_success", model="wan_text_encoder") == calls + 1
    assert server.metric("condition_cache_misses_total", model="wan_text_encoder") == missed + 1
    assert server.metric("condition_cache_bytes") > kept


async def test_concurrent_jobs_share_batches_and_stay_equal(server: RunningServer) -> None:
    steps = 60
    body: dict[str, Any] = {"prompt": PROMPT, "num_inference_steps": steps}
    requests = [body | {"seed": seed} for seed in range(4)]
    alone = [await generate(server.grpc, **request) for request in requests]
    begun: set[int] = set()
    looks: list[tuple[float, float]] = []
    """batches and their rows: when the last job had begun, and when the first had done its steps"""

    async def follow(request: dict[str, Any]) -> Generated:
        made = Generated()
        async for response in stream(server.grpc, **request):
            made.responses.append(response)
            done = response.progress[0] if response.progress else 0
            if done > 0:
                begun.add(request["seed"])
            if (done == steps and len(looks) == 1) or (len(begun) == len(requests) and not looks):
                looks.append((server.metric("step_batch_size_count"), server.metric("step_batch_size_sum")))
        return made

    together = await asyncio.gather(*map(follow, requests))

    (batches, rows), (batches_then, rows_then) = looks
    assert (rows_then - rows) / (batches_then - batches) > 6  # eight at best: four jobs with two guidance branches
    for one, other in zip(alone, together, strict=True):
        difference = np.abs(one.frames.astype(int) - other.frames)
        assert difference.max() <= 1


async def test_a_cancelled_stream_stops_its_job_before_the_next_step(server: RunningServer) -> None:
    cancelled = server.metric("cancelled_total")
    async with aclosing(stream(server.grpc, **LONG)) as responses:
        async for response in responses:
            if response.progress and response.progress[0] == 3:
                break

    await until(lambda: server.metric("jobs_running") == 0, seconds=10)

    assert server.metric("cancelled_total") == cancelled + 1
    steps = server.metric("step_seconds_count")
    await asyncio.sleep(0.3)
    assert server.metric("step_seconds_count") == steps


async def test_a_stream_cancelled_while_decoding_leaves_no_caches(server: RunningServer) -> None:
    many: dict[str, Any] = {"prompt": PROMPT, "width": 128, "height": 128, "num_frames": 161, "num_inference_steps": 1}
    async with aclosing(stream(server.grpc, **many)) as responses:
        async for response in responses:
            if response.frames is not None:
                break

    await until(lambda: server.metric("jobs_running") == 0, seconds=10)

    video = await generate(server.grpc, prompt=PROMPT, num_inference_steps=1)
    assert video.frames.shape == (9, 64, 64, 3)


async def test_a_long_silence_is_filled_with_heartbeats(small_server: RunningServer) -> None:
    async with running_job(small_server), aclosing(stream(small_server.grpc, prompt=PROMPT)) as waiting:
        for _ in range(3):
            assert (await anext(waiting)).progress[0] == 0

    async with running_job(small_server):
        video = asyncio.create_task(generate(small_server.grpc, prompt=PROMPT, num_inference_steps=2))
        await until(lambda: small_server.metric("jobs_waiting") == 1)
        await asyncio.sleep(1.1)
    assert (await video).info["timings"]["queue_seconds"] > 1


async def test_a_full_queue_refuses_tritons_clients_and_the_frontends_wait(
    small_server: RunningServer,
) -> None:
    async with running_job(small_server) as running:
        waiting = [asyncio.create_task(generate(small_server.grpc, prompt=PROMPT)) for _ in range(2)]
        await until(lambda: small_server.metric("jobs_waiting") == 2)

        with pytest.raises(GenerateError, match="queue_full: 1 jobs run and 2 wait"):
            await generate(small_server.grpc, prompt=PROMPT)
        over_http = asyncio.create_task(asyncio.to_thread(small_server.post, prompt=PROMPT))
        await until(lambda: "a job waits for the engine" in small_server.frontend_log())
        await steps_go_on(running)
    for video in await asyncio.gather(*waiting):
        assert len(video.frames) == 9
    assert (await over_http).status_code == 200


async def test_a_waiting_job_whose_client_leaves_is_forgotten(small_server: RunningServer) -> None:
    async with running_job(small_server) as running:
        waiting = asyncio.create_task(generate(small_server.grpc, prompt=PROMPT))
        await until(lambda: small_server.metric("jobs_waiting") == 1)

        waiting.cancel()

        await until(lambda: small_server.metric("jobs_waiting") == 0, seconds=10)
        await steps_go_on(running)


async def test_triton_counts_what_fails_as_failures_and_no_cancellation(small_server: RunningServer) -> None:
    """Triton's own counters; the errors stay events."""

    def failures() -> tuple[float, float]:
        triton = small_server.metric("nv_inference_request_failure", model="generate", reason="BACKEND")
        return triton, small_server.metric("failed_total")

    def counted(*failed: float) -> bool:
        return failures() == failed

    wrong: list[dict[str, Any]] = [
        {"prompt": ""},
        {"prompt": PROMPT, "width": 40},
        {"prompt": PROMPT, "model": "sora"},
        {"prompt": PROMPT, "timeout_seconds": 0.01},
    ]
    triton, own = failures()
    for number, fields in enumerate(wrong, start=1):
        with pytest.raises(GenerateError):
            await generate(small_server.grpc, **fields)
        await until(partial(counted, triton + number, own + number))

    await until(lambda: small_server.metric("jobs_running") == 0)  # those that tests before this one have left
    cancelled = small_server.metric("cancelled_total")
    await generate(small_server.grpc, prompt=PROMPT, num_inference_steps=1)
    async with running_job(small_server):
        pass
    await until(lambda: small_server.metric("cancelled_total") > cancelled)
    assert failures() == (triton + 4, own + 4)


async def test_a_plain_infer_is_unimplemented_as_of_every_decoupled_model(server: RunningServer) -> None:
    prompt = grpcclient.InferInput("prompt", [1], "BYTES")
    prompt.set_data_from_numpy(np.array([PROMPT.encode()], np.object_))
    async with grpcclient.InferenceServerClient(server.grpc) as client:
        with pytest.raises(InferenceServerException, match="decoupled") as refused:
            await client.infer("generate", [prompt])
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"
