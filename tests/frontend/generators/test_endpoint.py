import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from frontend.errors import EngineUnavailable
from frontend.generators.endpoint import PROBE_SECONDS, Endpoint
from protocol.errors import ModelFailed
from protocol.resolve import parse, resolve
from protocol.sampling import AnySpec
from tests.frontend.fake_generator import FakeGenerator
from tests.model_cards import model_card
from tests.waiting import until

MODEL = "toy-wan-t2v"


class Clock:
    """Stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoint(generator: FakeGenerator, clock: Clock) -> Endpoint:
    return Endpoint("a", generator, clock)


def spec(steps: int = 5) -> AnySpec:
    return resolve(parse({"prompt": "a fox", "num_inference_steps": steps}), model_card())


async def make(endpoint: Endpoint, request_id: str = "job") -> None:
    async with aclosing(endpoint.generate(MODEL, spec(), request_id=request_id, timeout_seconds=60)) as events:
        async for _ in events:
            pass


@asynccontextmanager
async def watched(endpoint: Endpoint) -> AsyncIterator[None]:
    task = asyncio.create_task(endpoint.watch())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_its_answer_says_whether_it_is_healthy(endpoint: Endpoint, generator: FakeGenerator) -> None:
    assert endpoint.is_unknown
    assert not endpoint.can_take(MODEL)
    await endpoint.models()
    assert endpoint.is_healthy
    assert endpoint.can_take(MODEL)
    assert not endpoint.can_take("other")
    generator.describe_error = EngineUnavailable("no answer")
    with pytest.raises(EngineUnavailable, match="no answer"):
        await endpoint.models()
    assert (endpoint.is_healthy, endpoint.can_take(MODEL), endpoint.why_not()) == (False, False, "no answer")
    generator.describe_error = None
    await endpoint.models()
    assert (endpoint.is_healthy, endpoint.can_take(MODEL), endpoint.why_not()) == (True, True, None)


async def test_the_log_says_that_it_is_lost_and_found_once_each(
    endpoint: Endpoint, generator: FakeGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (None, None, EngineUnavailable("gone"), EngineUnavailable("gone"), None):
        generator.describe_error = error
        await asyncio.gather(endpoint.models(), return_exceptions=True)
    said = [record.getMessage() for record in caplog.records]
    assert ["does not answer" in line for line in said] == [False, True, False]
    assert ["'server': 'a'" in line and "a Triton server" in line for line in said] == [True] * 3


async def test_evaluations_go_down_with_the_steps(endpoint: Endpoint, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    jobs = [asyncio.create_task(make(endpoint, f"job-{n}")) for n in range(2)]
    await until(lambda: len(generator.jobs) == 2)
    await until(lambda: endpoint.outstanding(MODEL) == 2 * 2 * 4)  # guided, and one of five steps is done
    assert (endpoint.outstanding(), endpoint.outstanding("other"), endpoint.parts) == (16, 0, 2)
    generator.step_gate.set()
    await asyncio.gather(*jobs)
    assert (endpoint.outstanding(), endpoint.parts) == (0, 0)


@pytest.mark.parametrize("error", [EngineUnavailable("lost"), ModelFailed("out of memory")])
async def test_a_model_that_fails_gets_no_jobs_for_a_while(
    endpoint: Endpoint, generator: FakeGenerator, clock: Clock, error: Exception
) -> None:
    generator.cards = [model_card(), model_card("other")]
    await endpoint.models()
    generator.error_for = lambda _: error
    for longest in (0.5, 1.0, 2.0):
        with pytest.raises(type(error)):
            await make(endpoint)
        assert endpoint.is_healthy  # it was not asked
        assert not endpoint.can_take(MODEL)
        assert endpoint.can_take("other")
        clock.now += 0.49 * longest
        assert not endpoint.can_take(MODEL)
        clock.now += 0.51 * longest
        assert endpoint.can_take(MODEL)
    generator.error_for = lambda _: None
    await make(endpoint)
    generator.error_for = lambda _: error
    with pytest.raises(type(error)):
        await make(endpoint)
    clock.now += 0.5
    assert endpoint.can_take(MODEL)


async def test_one_that_answers_is_asked_now_and_then(
    endpoint: Endpoint, generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = Endpoint("a", generator)
    monkeypatch.setattr("frontend.generators.endpoint.PROBE_SECONDS", 0.2)
    async with watched(endpoint):
        await asyncio.sleep(0.7)
    assert 3 <= generator.describe_calls <= 4
    assert PROBE_SECONDS >= 1


async def test_one_that_was_asked_meanwhile_is_not_asked_again(
    endpoint: Endpoint, generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = Endpoint("a", generator)
    monkeypatch.setattr("frontend.generators.endpoint.PROBE_SECONDS", 0.4)
    async with watched(endpoint):
        for _ in range(6):
            await asyncio.sleep(0.15)
            await endpoint.models()
    assert generator.describe_calls == 7


async def test_one_that_does_not_answer_is_asked_later_and_later(generator: FakeGenerator) -> None:
    endpoint = Endpoint("a", generator)
    generator.describe_error = EngineUnavailable("away")
    async with watched(endpoint):
        await asyncio.sleep(1.2)
        assert 2 <= generator.describe_calls <= 4  # at 0, 0.25 to 0.5, 0.75 to 1.5 s
        generator.describe_error = None
        await until(lambda: endpoint.is_healthy, seconds=5)


@pytest.mark.parametrize("error", [EngineUnavailable("lost"), ModelFailed("out of memory")])
async def test_one_that_fails_a_job_is_asked_at_once(generator: FakeGenerator, error: Exception) -> None:
    endpoint = Endpoint("a", generator)
    async with watched(endpoint):
        await until(lambda: endpoint.is_healthy)
        generator.describe_error = EngineUnavailable("dead")
        generator.error_for = lambda _: error
        with pytest.raises(type(error)):
            await make(endpoint)
        await until(lambda: not endpoint.is_healthy, seconds=1)
    assert endpoint.why_not() == "dead"
