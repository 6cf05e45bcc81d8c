"""A job's parts on a generator: what is made, and what is not handed out."""

import asyncio
import io
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from frontend.errors import EngineFailed
from frontend.generators.generator import Frames
from frontend.jobs import runner
from frontend.jobs.events import PartEvent, PartPreview
from frontend.jobs.runner import JobRunner
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Output
from frontend.metrics import Metrics
from protocol.errors import ModelFailed, QueueFull
from protocol.events import Progress
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.jobs.specs import image_spec, unsaved, video_spec
from tests.waiting import SECONDS


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator()


async def run(
    generator: FakeGenerator, spec: JobSpec, heard: list[PartEvent | PartPreview] | None = None
) -> list[tuple[bytes, Output]]:
    async def tell(event: PartEvent | PartPreview) -> None:
        if heard is not None:
            heard.append(event)

    return await JobRunner(generator, Metrics(), timeout_seconds=12.5).run(spec, tell, unsaved(spec))


def frames_of(mp4: bytes) -> int:
    with av.open(io.BytesIO(mp4), "r") as container:
        return len(list(container.decode(video=0)))


async def test_a_file_and_a_report_for_each_part_in_order(generator: FakeGenerator) -> None:
    made = await run(generator, video_spec(3))
    assert [output.report.spec.seed for _, output in made] == [5, 6, 7]
    assert [frames_of(file) for file, _ in made] == [9, 9, 9]
    assert all(output.encode_seconds > 0 for _, output in made)


async def test_images_come_from_the_same_runner(generator: FakeGenerator) -> None:
    ((file, output),) = await run(generator, image_spec())
    assert Image.open(io.BytesIO(file)).size == (32, 16)
    assert output.report.spec.num_frames == 1


async def test_the_generator_gets_the_spec(generator: FakeGenerator) -> None:
    image = np.zeros((16, 32, 3), np.uint8)
    spec = video_spec(2).starting_from(image)
    await run(generator, spec)
    sent = {request_id: job.parameters() for request_id, job in generator.jobs.items()}
    assert sent == {f"r-{part}": spec.sampling_of(part).parameters() for part in (0, 1)}
    assert all(job.image is image for job in generator.jobs.values())
    assert generator.timeouts == [12.5, 12.5]


async def test_each_parts_events_are_told_in_order(generator: FakeGenerator) -> None:
    heard: list[PartEvent | PartPreview] = []
    await run(generator, video_spec(2), heard)
    for part in (0, 1):
        events = [event.progress for event in heard if isinstance(event, PartEvent) and event.part == part]
        assert events == [Progress(steps_done=1, steps=2, frames_done=0, frames=9)]


@pytest.mark.parametrize("spec", [video_spec(), image_spec()], ids=["video", "image"])
async def test_a_generator_that_ends_without_its_report_is_a_fault(generator: FakeGenerator, spec: JobSpec) -> None:
    generator.reports = False
    with pytest.raises(EngineFailed, match="ended without its report"):
        await run(generator, spec)


@pytest.mark.parametrize("spec", [video_spec(), image_spec()], ids=["video", "image"])
@pytest.mark.parametrize("dropped", [-1, 1])
async def test_a_wrong_number_of_frames_is_a_fault(generator: FakeGenerator, spec: JobSpec, dropped: int) -> None:
    generator.drop_frames = dropped
    with pytest.raises(EngineFailed, match=f"of {spec.samples[0].num_frames} frames arrived"):
        await run(generator, spec)


class WrongSize(FakeGenerator):
    """Swaps width and height."""

    async def generate(self, *args: Any, **kwargs: Any) -> Any:
        async for event in super().generate(*args, **kwargs):
            yield Frames(event.pixels.swapaxes(1, 2)) if isinstance(event, Frames) else event


@pytest.mark.parametrize("spec", [video_spec(), image_spec()], ids=["video", "image"])
async def test_frames_of_another_size_are_a_fault(spec: JobSpec) -> None:
    with pytest.raises(EngineFailed, match=r"frames of \(32, 16, 3\) arrived, not of \(16, 32, 3\)"):
        await run(WrongSize(), spec)


async def test_when_one_part_fails_the_others_stop_and_its_error_is_raised(generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    generator.error_for = lambda params: ModelFailed("the second died") if params.seed == 6 else None
    with pytest.raises(ModelFailed, match="the second died"):
        await run(generator, video_spec(3))
    assert sorted(generator.cancelled) == ["r-0", "r-2"]


async def test_a_part_that_the_generator_has_no_room_for_waits_and_the_others_go_on(
    generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PAUSE_SECONDS", 0)
    refusals = [QueueFull("8 run and 32 wait")] * 50
    generator.error_for = lambda params: refusals.pop() if params.seed == 6 and refusals else None
    made = await run(generator, video_spec(3))
    assert [output.report.spec.seed for _, output in made] == [5, 6, 7]
    assert len(generator.timeouts) == 3 + 50  # calls


async def test_cancelling_stops_every_part(generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    task = asyncio.create_task(run(generator, video_spec(3)))
    async with asyncio.timeout(SECONDS):
        while len(generator.jobs) < 3:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(generator.cancelled) == ["r-0", "r-1", "r-2"]
