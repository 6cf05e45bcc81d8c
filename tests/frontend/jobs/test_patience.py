"""Jobs and outages of the engine."""

import asyncio

import pytest

from frontend.errors import EngineStalled, EngineUnavailable, ServerLost
from frontend.jobs.events import PartEvent, PartPreview
from frontend.jobs.patience import MAX_LOSSES, PatientRunner
from frontend.jobs.record import RunRecord
from frontend.jobs.runner import Tell
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Output
from protocol.errors import InvalidRequest, ModelFailed
from protocol.events import Progress
from tests.frontend.jobs.specs import completed, unsaved, video_spec


def begun(step: int) -> PartEvent:
    return PartEvent(0, Progress(steps_done=step, steps=100, frames_done=0, frames=9))


class Engine:
    """Fails as it is told, then makes the video."""

    def __init__(self, *errors: Exception, begins: bool = False, gets_on: bool = False) -> None:
        self.errors = list(errors)
        self.begins = begins
        self.gets_on = gets_on
        self.runs = 0

    async def run(self, spec: JobSpec, tell: Tell, record: RunRecord) -> list[tuple[bytes, Output]]:
        self.runs += 1
        if self.begins:
            await tell(begun(self.runs if self.gets_on else 1))
        if self.errors:
            raise self.errors.pop(0)
        return [(b"x", completed(spec).outputs[0])]


async def run(engine: Engine, *, awaited: bool = False, pause_seconds: float = 0) -> list[tuple[bytes, Output]]:
    async def tell(event: PartEvent | PartPreview) -> None:
        assert isinstance(event, PartEvent)

    runner = PatientRunner(engine, lambda job_id: awaited, pause_seconds=pause_seconds)
    return await runner.run(video_spec(), tell, unsaved(video_spec()))


OUTAGES = [EngineUnavailable("away"), EngineStalled("silent")]


@pytest.mark.parametrize("error", [EngineUnavailable("away"), EngineStalled("silent"), ModelFailed("died")])
async def test_a_client_that_waits_is_told_at_once(error: Exception) -> None:
    engine = Engine(error, begins=True)
    with pytest.raises(type(error)):
        await run(engine, awaited=True)
    assert engine.runs == 1


@pytest.mark.parametrize("error", OUTAGES)
async def test_a_job_waits_for_an_engine_that_is_away_however_long(error: Exception) -> None:
    engine = Engine(*[error] * 50)
    assert await run(engine)
    assert engine.runs == 51


@pytest.mark.parametrize("error", [EngineUnavailable("lost"), ModelFailed("died")])
async def test_a_job_that_loses_the_engine_is_run_again_a_few_times(error: Exception) -> None:
    engine = Engine(*[error] * (MAX_LOSSES - 1), begins=True)
    assert await run(engine)
    engine = Engine(*[error] * MAX_LOSSES, begins=True)
    with pytest.raises(type(error)):
        await run(engine)
    assert engine.runs == MAX_LOSSES


@pytest.mark.parametrize("error", [EngineUnavailable("lost"), ModelFailed("died")])
async def test_a_job_that_gets_further_each_time_is_run_again_however_often(error: Exception) -> None:
    engine = Engine(*[error] * 50, begins=True, gets_on=True)
    assert await run(engine)
    assert engine.runs == 51


def lost(loss: Exception) -> ServerLost:
    """What a pool says where another server can go on."""
    return ServerLost("lost", loss=loss)


@pytest.mark.parametrize("awaited", [True, False])
@pytest.mark.parametrize("loss", [EngineUnavailable("lost"), EngineStalled("silent"), ModelFailed("died")])
async def test_a_job_moves_to_another_server_at_once_whoever_waits(awaited: bool, loss: Exception) -> None:
    engine = Engine(*[lost(loss)] * (MAX_LOSSES - 1), begins=True)
    async with asyncio.timeout(5):  # though it would wait for an hour for this one
        assert await run(engine, awaited=awaited, pause_seconds=3600)
    assert engine.runs == MAX_LOSSES


@pytest.mark.parametrize("loss", [EngineUnavailable("lost"), ModelFailed("died")])
async def test_a_job_that_takes_servers_down_is_not_moved_for_ever(loss: Exception) -> None:
    engine = Engine(*[lost(loss)] * MAX_LOSSES, begins=True)
    with pytest.raises(type(loss)) as raised:
        await run(engine, awaited=True)
    assert raised.value is loss
    assert engine.runs == MAX_LOSSES


async def test_a_job_that_only_waited_on_lost_servers_is_moved_however_often() -> None:
    engine = Engine(*[lost(EngineUnavailable("lost"))] * 50)
    assert await run(engine, awaited=True)


@pytest.mark.parametrize("error", [InvalidRequest("must be odd", "width"), RuntimeError("bug")])
async def test_what_is_no_outage_is_not_waited_for(error: Exception) -> None:
    engine = Engine(error)
    with pytest.raises(type(error)):
        await run(engine)
    assert engine.runs == 1
