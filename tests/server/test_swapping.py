"""Models come and go while jobs run, within a memory that does not hold all of them; the jobs notice nothing."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from protocol.residency import weights_bytes
from tests.conftest import Exported
from tests.waiting import until

from .grpc_client import GenerateError, generate, stream
from .running_server import RunningServer
from .test_checkpoints import Repository

PROMPT = "a red circle moving right on a black background"
HIGH, LOW = "wan_t2v_transformer", "wan_t2v_transformer_2"
LEAVES = {"wan_text_encoder", HIGH, LOW, "wan_vae"}
BUDGET = 9_000_000
"""one transformer and the text encoder, or the VAE"""
SWAP = ("--residency", "swap", "--weights-memory", f"{BUDGET / 10**6:g}MB")
# all of whose steps are those of one expert
AT_HIGH: dict[str, Any] = {"prompt": PROMPT, "boundary_ratio": 0.0}
AT_LOW: dict[str, Any] = {"prompt": PROMPT, "boundary_ratio": 1.0}
LARGE: dict[str, Any] = {"width": 128, "height": 128, "num_frames": 17}


@pytest.fixture(scope="module")
def swapping(toy: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose processes may be killed."""
    folder = tmp_path_factory.mktemp("swapping")
    with RunningServer(toy.repository, folder, *SWAP, "--restart-limit", "100") as running:
        yield running


def stubs(server: RunningServer) -> dict[str, psutil.Process]:
    """The processes of the leaf models that there are."""
    found = {}
    for process in server.processes():
        with suppress(psutil.NoSuchProcess, IndexError):
            command = process.cmdline()
            if "triton_python_backend_stub" in command[0] and process.status() != psutil.STATUS_ZOMBIE:
                found[Path(command[1]).parent.parent.name] = process
    return {model: process for model, process in found.items() if model in LEAVES}


def memory(server: RunningServer) -> int:
    """Bytes that the leaf models' processes share with nobody."""
    total = 0
    for process in stubs(server).values():
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().uss
    return total


class Watched:
    """What was there at some moment of a block."""

    def __init__(self) -> None:
        self.sets: set[frozenset[str]] = set()
        self.most_memory = 0


@contextmanager
def watch(server: RunningServer) -> Iterator[Watched]:
    seen, ended = Watched(), Event()

    def look() -> None:
        while not ended.wait(0.05):
            with suppress(psutil.NoSuchProcess):
                seen.sets.add(frozenset(stubs(server)))
                seen.most_memory = max(seen.most_memory, memory(server))

    thread = Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


async def test_a_job_gets_what_it_gets_where_everything_stays_loaded(
    swapping: RunningServer, server: RunningServer, toy: Exported
) -> None:
    request: dict[str, Any] = {"prompt": PROMPT, "seed": 7, "num_frames": 17}
    weights = {model: weights_bytes(toy.repository / model / "1") for model in LEAVES}
    with watch(swapping) as seen:
        video = await generate(swapping.grpc, **request)
        again = await generate(swapping.grpc, **request)

    resident = await generate(server.grpc, **request)
    assert np.array_equal(video.frames, resident.frames)
    assert np.array_equal(again.frames, resident.frames)
    assert {model for there in seen.sets for model in there} == LEAVES, "each was loaded at some time"
    assert all(sum(weights[model] for model in there) <= BUDGET for there in seen.sets)
    assert seen.most_memory < 0.75 * memory(server)


async def test_jobs_at_different_models_take_turns(swapping: RunningServer) -> None:
    ended = []

    async def job(name: str, request: dict[str, Any]) -> None:
        await generate(swapping.grpc, **request)
        ended.append(name)

    loads = {model: swapping.metric("model_loads_total", model=model) for model in (HIGH, LOW)}
    long = asyncio.create_task(job("long", {**AT_HIGH, **LARGE, "num_inference_steps": 200}))
    await until(lambda: swapping.metric("model_loads_total", model=HIGH) > loads[HIGH] or HIGH in stubs(swapping))
    short = asyncio.create_task(job("short", {**AT_LOW, "num_inference_steps": 5}))
    await asyncio.gather(long, short)

    assert ended == ["short", "long"], "the short one did not wait for all of the long one"
    assert swapping.metric("model_loads_total", model=LOW) > loads[LOW]


async def test_health_and_models_say_nothing_of_models_that_are_away(swapping: RunningServer) -> None:
    with watch(swapping) as seen:
        job = asyncio.create_task(generate(swapping.grpc, prompt=PROMPT))
        answers = []
        while not job.done():
            answers.append(await asyncio.to_thread(httpx.get, f"{swapping.url}/health", timeout=10))
            await asyncio.sleep(0.05)
        await job

    assert len(seen.sets) > 2
    assert {answer.text for answer in answers} == {'{"status":"ok"}'}
    models = httpx.get(f"{swapping.url}/v1/models").json()
    assert [model["id"] for model in models["data"]] == ["toy-wan-t2v"]
    assert "is back" not in (swapping.run_dir / "launcher.out").read_text()


async def test_a_job_survives_the_death_of_a_model_that_came_and_went(swapping: RunningServer) -> None:
    job = asyncio.create_task(generate(swapping.grpc, **AT_LOW, **LARGE, num_inference_steps=40))
    steps = swapping.metric("step_seconds_count")
    await until(lambda: swapping.metric("step_seconds_count") > steps + 1)
    stubs(swapping)[LOW].kill()

    assert (await job).info["type"] == "done"
    swapping.wait_until_healthy(60)


async def test_a_model_that_dies_while_nobody_needs_it_is_there_for_the_next_job(swapping: RunningServer) -> None:
    await generate(swapping.grpc, prompt=PROMPT, num_inference_steps=2)
    for process in stubs(swapping).values():
        process.kill()

    assert (await generate(swapping.grpc, prompt=PROMPT, num_inference_steps=2)).info["type"] == "done"
    swapping.wait_until_healthy(60)


async def test_a_job_cancelled_while_its_model_loads_ends_at_once(swapping: RunningServer) -> None:
    await generate(swapping.grpc, **AT_HIGH, num_inference_steps=2)
    loads = swapping.metric("model_loads_total", model=LOW)
    async with aclosing(stream(swapping.grpc, **AT_LOW)) as responses:
        await anext(responses)
        await until(lambda: LOW in stubs(swapping))
        assert swapping.metric("model_loads_total", model=LOW) == loads, "it is loading"
    left = time.monotonic()
    await until(lambda: swapping.metric("jobs_running") == 0)

    assert time.monotonic() - left < 5
    assert (await generate(swapping.grpc, **AT_HIGH, num_inference_steps=2)).info["type"] == "done"


@pytest.fixture(scope="module")
def own_repository(toy: Exported, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """One that tests may change."""
    made = Repository(toy.repository, tmp_path_factory.mktemp("own") / "repository")
    made.put("wan_t2v")
    return made


@pytest.fixture(scope="module")
def own_server(own_repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(own_repository.folder, tmp_path_factory.mktemp("run"), *SWAP) as running:
        yield running


async def test_a_model_that_cannot_be_loaded_fails_its_jobs_with_its_name_and_harms_nobody_else(
    own_repository: Repository, own_server: RunningServer
) -> None:
    url = own_server.grpc
    await generate(url, **AT_HIGH, num_inference_steps=2)
    await until(lambda: LOW not in stubs(own_server))
    with overwritten(own_repository.folder / LOW / "1" / "model.onnx", b"no graph"):
        with pytest.raises(GenerateError, match=rf"^model_failed: {LOW} could not be loaded: .*model\.onnx"):
            await generate(url, **AT_LOW, num_inference_steps=2)
        answer = own_server.post(**AT_LOW, num_inference_steps=2)
        assert answer.status_code in (500, 503)
        assert "Traceback" not in answer.text
        assert str(own_repository.folder) not in answer.text
        await generate(url, **AT_HIGH, num_inference_steps=2)
    await generate(url, **AT_LOW, num_inference_steps=2)


async def test_checkpoints_come_and_go_beside_models_that_do(
    own_repository: Repository, own_server: RunningServer
) -> None:
    url, console = own_server.grpc, own_server.run_dir / "launcher.out"
    before = await generate(url, prompt=PROMPT, seed=1)
    own_repository.touch("wan_t2v")
    await until(lambda: console.read_text().count("is served") == 1)
    after = await generate(url, prompt=PROMPT, seed=1)
    assert np.array_equal(before.frames, after.frames)

    own_repository.remove("wan_t2v")
    await until(lambda: not stubs(own_server))
    own_repository.put("wan_t2v")
    await until(lambda: console.read_text().count("is served") == 2)
    again = await generate(url, prompt=PROMPT, seed=1)
    assert np.array_equal(before.frames, again.frames)


@contextmanager
def overwritten(file: Path, content: bytes) -> Iterator[None]:
    """The file holds something else meanwhile, and looks as if nobody had written to it."""
    original, times = file.read_bytes(), file.stat()
    for data in (content, original):
        file.write_bytes(data)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        if data is content:
            yield
