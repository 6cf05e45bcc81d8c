"""The generator against a real tritonserver, whose `generate` does as the prompt says."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frontend.errors import EngineFailed, EngineStalled, EngineUnavailable
from frontend.generators.generator import Event, Frames, Preview
from frontend.generators.triton import TritonGenerator
from frontend.launcher_status import LauncherStatus
from protocol.errors import DeadlineExceeded, InvalidRequest, ModelFailed, PipelineError, QueueFull
from protocol.events import Done, Failed, Progress
from protocol.lora import LoraInfo
from protocol.model_card import ModelCard
from protocol.resolve import parse
from protocol.resolve import resolve as resolve_request
from protocol.sampling import MAX_SEED, AnySpec
from tests.frontend.scripted_triton import CARD, Scripted
from tests.model_cards import image_to_video_card, text_to_image_card

pytestmark = pytest.mark.slow

STALL_SECONDS = 1.0


def params(prompt: str = "a fox", card: ModelCard = CARD, **fields: Any) -> AnySpec:
    return resolve_request(parse({"prompt": prompt, "seed": 1, **fields}), card)


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Scripted]:
    """A server of its own, for a test that kills parts of it."""
    scripted = Scripted(tmp_path)
    try:
        scripted.server.start()
        yield scripted
    finally:
        scripted.server.kill()


@pytest.fixture
async def generator(triton: Scripted) -> AsyncIterator[TritonGenerator]:
    async with generator_at(triton.url) as generator:
        yield generator


@asynccontextmanager
async def generator_at(url: str, launcher_status: LauncherStatus | None = None) -> AsyncIterator[TritonGenerator]:
    """An open generator."""
    generator = TritonGenerator(url, stall_timeout_seconds=STALL_SECONDS, launcher_status=launcher_status)
    await generator.open()
    try:
        yield generator
    finally:
        await generator.close()


async def events_of(
    generator: TritonGenerator, job: AnySpec, request_id: str = "test", timeout_seconds: float = 60, **options: Any
) -> list[Event]:
    stream = generator.generate(CARD.id, job, request_id=request_id, timeout_seconds=timeout_seconds, **options)
    async with aclosing(stream) as events:
        return [event async for event in events]


# A job that goes well


async def test_events_come_in_order(generator: TritonGenerator) -> None:
    events = await events_of(generator, params(num_frames=9, num_inference_steps=2))
    assert [type(event) for event in events] == [Progress] * 3 + [Frames, Progress] * 3 + [Done]
    assert events[:3] == [Progress(steps_done=step, steps=2, frames_done=0, frames=9) for step in range(3)]
    pixels = np.concatenate([event.pixels for event in events if isinstance(event, Frames)])
    assert pixels.dtype == np.uint8
    assert pixels.shape == (9, 48, 64, 3)
    assert pixels[:, 0, 0, 0].tolist() == list(range(9))


async def test_the_report_says_what_was_used_and_how_long_it_took(generator: TritonGenerator) -> None:
    done = (await events_of(generator, params(seed=5)))[-1]
    assert isinstance(done, Done)
    assert (done.model, done.spec) == (CARD.id, params(seed=5))
    assert done.timings.decode_seconds == 0.4


@pytest.mark.parametrize("options", [{"previews": 2}, {"preview_seconds": 0.5}])
async def test_previews_come_where_they_are_asked_for(
    generator: TritonGenerator, triton: Scripted, options: dict[str, Any]
) -> None:
    events = await events_of(generator, params(num_inference_steps=2), f"previews {options}", **options)
    previews = [event for event in events if isinstance(event, Preview)]
    assert [(one.steps_done, one.steps, one.pixels.tolist()) for one in previews] == [
        (step, 2, [[[step] * 3] * 3] * 2) for step in (1, 2)
    ]
    (entry,) = [entry for entry in triton.log() if entry.get("request_id") == f"previews {options}"]
    assert entry["fields"].items() >= options.items()
    assert not any(isinstance(event, Preview) for event in await events_of(generator, params(num_inference_steps=2)))


async def test_a_preview_without_its_pixels_breaks_the_contract(generator: TritonGenerator) -> None:
    with pytest.raises(EngineFailed, match="a preview came without its pixels"):
        await events_of(generator, params("preview without pixels"), previews=1)


async def test_every_parameter_arrives_exactly(generator: TritonGenerator, triton: Scripted) -> None:
    job = params(
        "ein Fuchs 🦊\0\n",
        negative_prompt="",
        width=32,
        height=16,
        num_frames=5,
        num_inference_steps=7,
        guidance_scale=0.1,
        guidance_scale_2=0.3,
        seed=MAX_SEED,
        flow_shift=12.7,
        boundary_ratio=0.9,
        solver="euler",
        lora=[{"name": "ink", "scale": 0.1}, {"low": "fog"}],
    )
    await events_of(generator, job, "every.parameter_1", timeout_seconds=12.5)
    fields = job.model_dump(mode="json", exclude_none=True)
    fields |= {"model": CARD.id, "timeout_seconds": 12.5}
    assert {"request_id": "every.parameter_1", "fields": fields, "resumed": 0} in triton.log()


async def test_the_image_arrives_exactly(generator: TritonGenerator, triton: Scripted) -> None:
    image = np.arange(16 * 32 * 3, dtype=np.uint32).astype(np.uint8).reshape(16, 32, 3)
    job = params(card=image_to_video_card(), width=32, height=16, num_frames=1, image=image)
    await events_of(generator, job, "image")
    (sent,) = [entry["fields"] for entry in triton.log() if entry.get("request_id") == "image"]
    assert sent["image"] == image.tolist()


async def test_the_true_guidance_of_an_image_arrives_exactly(generator: TritonGenerator, triton: Scripted) -> None:
    await events_of(generator, params(card=text_to_image_card(), true_cfg_scale=0.1), "guided")
    (sent,) = [entry["fields"] for entry in triton.log() if entry.get("request_id") == "guided"]
    assert sent["true_cfg_scale"] == 0.1
    assert not sent.keys() & {"guidance_scale", "flow_shift", "image"}


async def test_adapters_are_listed(generator: TritonGenerator) -> None:
    assert await generator.loras() == [LoraInfo(name="ink", rank=16, bytes=1000, models=[CARD.id])]


async def test_what_is_none_is_not_sent(generator: TritonGenerator, triton: Scripted) -> None:
    one_expert = params().model_copy(update={"guidance_scale_2": None, "boundary_ratio": None})
    await events_of(generator, one_expert, "none")
    (sent,) = [entry["fields"] for entry in triton.log() if entry.get("request_id") == "none"]
    assert not sent.keys() & {"guidance_scale_2", "boundary_ratio"}


async def test_large_frames_and_many_jobs_at_once(generator: TritonGenerator) -> None:
    job = params(width=800, height=480, num_frames=17)
    results = await asyncio.gather(*(events_of(generator, job, str(i)) for i in range(4)))
    for events in results:
        assert sum(len(event.pixels) for event in events if isinstance(event, Frames)) == 17


# Jobs that end otherwise


@pytest.mark.parametrize(
    "error",
    [
        QueueFull("8 jobs run and 32 wait: too many"),
        InvalidRequest("must be a multiple of 16, got 24", "width"),
        DeadlineExceeded("not done in 5 s"),
        ModelFailed("wan_vae: out of memory"),
        QueueFull("in ensemble 'generate', message: invalid_request: 8 jobs run"),
    ],
    ids=lambda error: error.message[:20],
)
async def test_errors_keep_their_kind_and_field(generator: TritonGenerator, error: PipelineError) -> None:
    with pytest.raises(type(error)) as raised:
        await events_of(generator, params(f"failed {Failed.of(error).model_dump_json(exclude={'type'})}"))
    assert (raised.value.message, raised.value.field) == (error.message, error.field)


@pytest.mark.parametrize(
    "prompt",
    [
        """failed {"code": "internal", "message": "KeyError: 'x'"}""",
        'failed {"code": "of_another_release", "message": "x"}',
        'failed {"code": "queue_full"}',
        "error oops",
        "error queue_full: 8 jobs run",
        "no report",
        "bad report",
        "short progress",
        "other event",
    ],
)
async def test_other_answers_are_faults(generator: TritonGenerator, prompt: str) -> None:
    with pytest.raises(EngineFailed):
        await events_of(generator, params(prompt))


async def test_a_silent_job_is_given_up(generator: TritonGenerator) -> None:
    started = time.monotonic()
    with pytest.raises(EngineStalled, match="stopped responding"):
        await events_of(generator, params("silence"))
    assert STALL_SECONDS <= time.monotonic() - started < STALL_SECONDS + 1


async def test_a_job_that_speaks_is_not(generator: TritonGenerator) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2 * STALL_SECONDS):
            await events_of(generator, params("slow"), "speaks")


@pytest.mark.parametrize("way", ["cancel", "close"])
async def test_leaving_cancels_the_job_in_triton(generator: TritonGenerator, triton: Scripted, way: str) -> None:
    if way == "cancel":
        task = asyncio.create_task(events_of(generator, params("slow"), way))
        await triton.logged(request_id=way)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with aclosing(generator.generate(CARD.id, params("slow"), request_id=way, timeout_seconds=60)) as events:
            async for _ in events:
                break
    await triton.logged(cancelled=way)


# What is served


async def test_models_are_described(generator: TritonGenerator) -> None:
    models = await generator.models()
    assert models == [CARD]
    assert isinstance(models[0], ModelCard)


async def test_all_is_ready(generator: TritonGenerator) -> None:
    await generator.check_ready()


async def test_without_a_server_it_is_unavailable_at_once() -> None:
    async with generator_at("127.0.0.1:9") as generator:
        started = time.monotonic()
        with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:9 cannot be reached"):
            await generator.check_ready()
        with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:9 cannot be reached"):
            await generator.models()
        with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:9 cannot be reached"):
            await events_of(generator, params())
        assert time.monotonic() - started < 1


async def test_a_closed_generator_says_so() -> None:
    with pytest.raises(EngineUnavailable, match="closed"):
        await TritonGenerator("127.0.0.1:9", stall_timeout_seconds=1).models()


# Parts that die


async def test_a_missing_leaf_model_is_named(fragile: Scripted) -> None:
    async with generator_at(fragile.url) as generator:
        fragile.control.unload("leaf")
        with pytest.raises(EngineUnavailable, match="'leaf' is not ready"):
            await generator.check_ready()
        fragile.control.load("leaf")
        await generator.check_ready()


async def test_a_missing_generate_is_named(fragile: Scripted) -> None:
    async with generator_at(fragile.url) as generator:
        fragile.control.unload("generate")
        with pytest.raises(EngineUnavailable, match="'generate' is not available"):
            await generator.check_ready()
        with pytest.raises(EngineUnavailable, match="'generate' is not available"):
            await events_of(generator, params())


async def test_when_generate_dies_its_jobs_end_and_nobody_calls_it_ready(fragile: Scripted) -> None:
    async with generator_at(fragile.url) as generator:
        others = [asyncio.create_task(events_of(generator, params("slow"), str(i))) for i in range(2)]
        await asyncio.sleep(0.2)
        started = time.monotonic()
        with pytest.raises(EngineUnavailable):
            await events_of(generator, params("die"))
        results = await asyncio.gather(*others, return_exceptions=True)
        assert [type(result) for result in results] == [EngineStalled] * 2
        with pytest.raises(EngineUnavailable):
            await generator.check_ready()
        with pytest.raises(EngineUnavailable):
            await events_of(generator, params())
        assert time.monotonic() - started < 6


async def test_when_tritonserver_dies_its_jobs_end_and_the_next_one_serves(fragile: Scripted) -> None:
    async with generator_at(fragile.url) as generator:
        job = asyncio.create_task(events_of(generator, params("slow")))
        await asyncio.sleep(0.2)
        fragile.server.kill()
        with pytest.raises(EngineUnavailable):
            await asyncio.wait_for(job, 2)
        with pytest.raises(EngineUnavailable):
            await generator.check_ready()
        await asyncio.to_thread(fragile.server.start)
        started = time.monotonic()
        while time.monotonic() - started < 3:
            try:
                assert await generator.models() == [CARD]
                break
            except EngineUnavailable:
                await asyncio.sleep(0.1)
        else:
            pytest.fail("the generator did not find the new server")
        assert isinstance((await events_of(generator, params()))[-1], Done)


async def test_what_the_launcher_calls_away_is_not_ready(triton: Scripted, tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    async with generator_at(triton.url, LauncherStatus(file)) as generator:
        await generator.check_ready()
        file.write_text('{"away": [{"part": "model wan_vae", "reason": "its process is stopped"}]}')
        with pytest.raises(EngineUnavailable, match=r"^model wan_vae: its process is stopped$"):
            await generator.check_ready()
        assert isinstance((await events_of(generator, params()))[-1], Done)  # a job may wait until it is back


async def test_a_job_that_needs_what_keeps_dying_is_refused(triton: Scripted, tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    async with generator_at(triton.url, LauncherStatus(file)) as generator:
        (card,) = await generator.models()
        needed = card.components.vae
        for part, refused in ((f"model {needed}", True), ("model of_others", False), ("tritonserver", True)):
            away = {"part": part, "reason": "it keeps dying", "keeps_dying": True}
            file.write_text(json.dumps({"away": [away]}))
            if refused:
                with pytest.raises(EngineUnavailable, match=f"^{part}: it keeps dying$"):
                    await events_of(generator, params())
            else:
                assert isinstance((await events_of(generator, params()))[-1], Done)


async def test_a_server_that_keeps_dying_is_called_that(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    file.write_text('{"away": [{"part": "tritonserver", "reason": "it keeps dying", "keeps_dying": true}]}')
    async with generator_at("127.0.0.1:9", LauncherStatus(file)) as generator:
        with pytest.raises(EngineUnavailable, match=r"^tritonserver: it keeps dying$"):
            await generator.models()
