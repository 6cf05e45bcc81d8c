"""The choice between servers, each a fake in this process."""

import asyncio
from contextlib import aclosing
from functools import partial

import pytest

from frontend.errors import EngineFailed, EngineUnavailable, ServerLost, ServerNotFound
from frontend.generators.pool import Pool
from protocol.errors import InvalidRequest, ModelFailed, QueueFull
from protocol.lora import LoraInfo
from protocol.resolve import parse, resolve
from protocol.sampling import AnySpec
from tests.frontend.fake_generator import FakeGenerator, pool_of
from tests.model_cards import model_card
from tests.waiting import until

MODEL = "toy-wan-t2v"


def spec(steps: int = 5) -> AnySpec:
    return resolve(parse({"prompt": "a fox", "num_inference_steps": steps}), model_card())


async def make(pool: Pool, request_id: str = "job", model: str = MODEL, steps: int = 5) -> None:
    async with aclosing(pool.generate(model, spec(steps), request_id=request_id, timeout_seconds=60)) as events:
        async for _ in events:
            pass


def has_left(pool: Pool, evaluations: int) -> bool:
    return sum(endpoint.outstanding() for endpoint in pool.endpoints) == evaluations


def jobs_of(servers: list[FakeGenerator]) -> list[list[str]]:
    return [list(server.jobs) for server in servers]


# Which server a job goes to


async def test_the_one_with_the_fewest_evaluations(pool: Pool, servers: list[FakeGenerator]) -> None:
    for server in servers:
        server.step_gate.clear()
    jobs: list[asyncio.Task[None]] = []
    left = 0
    for steps in (50, 20, 10, 5, 5, 5, 40):
        jobs.append(asyncio.create_task(make(pool, f"{steps}-{len(jobs)}", steps=steps)))
        left += 2 * (steps - 1)  # guided, and held after its first step
        await until(partial(has_left, pool, left))
    # 98 on one, 38 on another: until the third one has more than that it gets all, and then the second one is next.
    assert sorted(map(sorted, jobs_of(servers))) == [["10-2", "5-3", "5-4", "5-5"], ["20-1", "40-6"], ["50-0"]]
    for server in servers:
        server.step_gate.set()
    await asyncio.gather(*jobs)
    assert [endpoint.outstanding() for endpoint in pool.endpoints] == [0, 0, 0]


async def test_equals_get_jobs_by_chance(servers: list[FakeGenerator]) -> None:
    for chances, chosen in (((0.5, 0.1, 0.9), 1), ((0.5, 0.9, 0.1), 2)):
        pool = pool_of(*servers)
        await pool.models()
        numbers = iter(chances)
        pool._chance = lambda numbers=numbers: next(numbers)  # type: ignore[misc]
        await make(pool, str(chosen))
        assert str(chosen) in servers[chosen].jobs


async def test_a_model_that_one_server_has_goes_there(servers: list[FakeGenerator]) -> None:
    servers[1].cards = [model_card(), model_card("rare")]
    pool = pool_of(*servers)
    assert [card.id for card in await pool.models()] == [MODEL, "rare"]
    for number in range(5):
        await make(pool, f"rare-{number}", model="rare")
    assert jobs_of(servers) == [[], [f"rare-{number}" for number in range(5)], []]


async def test_what_was_never_asked_is_asked_before_the_first_job(servers: list[FakeGenerator]) -> None:
    servers[2].cards = [model_card("rare")]
    pool = pool_of(*servers)
    await make(pool, "rare", model="rare")
    assert jobs_of(servers) == [[], [], ["rare"]]
    await make(pool, "again", model="rare")
    assert [server.describe_calls for server in servers] == [1, 1, 1]


async def test_a_lone_server_is_asked_nothing(servers: list[FakeGenerator]) -> None:
    await make(pool_of(servers[0]))
    assert (servers[0].describe_calls, list(servers[0].jobs)) == (0, ["job"])


async def test_another_model_of_the_same_id_gets_no_jobs(
    servers: list[FakeGenerator], caplog: pytest.LogCaptureFixture
) -> None:
    servers[1].cards = [model_card().model_copy(update={"num_train_timesteps": 999})]
    pool = pool_of(*servers[:2])
    for _ in range(2):
        assert await pool.models() == servers[0].cards
    for number in range(5):
        await make(pool, str(number))
    assert jobs_of(servers)[1] == []
    assert [record.getMessage().count("another than an earlier one") for record in caplog.records].count(1) == 1
    servers[0].describe_error = EngineUnavailable("away")
    assert await pool.models() == servers[1].cards
    await make(pool, "only one left")
    assert list(servers[1].jobs) == ["only one left"]


# Servers that refuse a job, or lose it


async def test_one_that_is_not_healthy_gets_none(pool: Pool, servers: list[FakeGenerator]) -> None:
    servers[0].describe_error = servers[2].describe_error = EngineUnavailable("away")
    await pool.models()
    for number in range(5):
        await make(pool, str(number))
    assert jobs_of(servers) == [[], ["0", "1", "2", "3", "4"], []]
    servers[2].describe_error = None
    await pool.endpoints[2].models()
    servers[1].step_gate.clear()
    pool.drain({"c"})
    busy = asyncio.create_task(make(pool, "busy"))
    await until(lambda: "busy" in servers[1].jobs)
    pool.drain(())
    await make(pool, "found again")
    servers[1].step_gate.set()
    await busy
    assert jobs_of(servers)[0::2] == [[], ["found again"]]


@pytest.mark.parametrize("refusal", [EngineUnavailable("away"), ModelFailed("dead"), QueueFull("8 jobs run")])
async def test_one_that_does_not_take_a_job_leaves_it_to_the_next(
    pool: Pool, servers: list[FakeGenerator], refusal: Exception
) -> None:
    servers[0].refusal = servers[1].refusal = refusal
    for number in range(4):
        await make(pool, str(number))
    assert list(servers[2].jobs) == ["0", "1", "2", "3"]


async def test_where_all_are_full_that_is_what_is_said(pool: Pool, servers: list[FakeGenerator]) -> None:
    servers[0].refusal = EngineUnavailable("away")
    servers[1].refusal = servers[2].refusal = QueueFull("8 jobs run")
    with pytest.raises(QueueFull, match="8 jobs run"):
        await make(pool)


async def test_an_adapter_that_one_server_has_is_found_there(pool: Pool, servers: list[FakeGenerator]) -> None:
    servers[0].refusal = servers[1].refusal = InvalidRequest("no adapter 'ink'", "lora")
    await make(pool)
    assert list(servers[2].jobs) == ["job"]
    servers[2].refusal = InvalidRequest("no adapter 'ink'", "lora")
    with pytest.raises(InvalidRequest, match="no adapter 'ink'"):
        await make(pool)


@pytest.mark.parametrize("refusal", [InvalidRequest("must be odd", "width"), EngineFailed("no event")])
async def test_what_is_the_jobs_own_fault_is_not_tried_elsewhere(
    pool: Pool, servers: list[FakeGenerator], refusal: Exception
) -> None:
    for server in servers:
        server.refusal = refusal
    with pytest.raises(type(refusal)):
        await make(pool)
    assert sum(map(len, jobs_of(servers))) == 1


@pytest.mark.parametrize("error", [EngineUnavailable("lost"), ModelFailed("out of memory")])
async def test_a_job_that_was_begun_can_go_on_elsewhere(
    pool: Pool, servers: list[FakeGenerator], error: Exception
) -> None:
    for server in servers:
        server.error_for = lambda _: error
    for _ in range(2):
        with pytest.raises(ServerLost) as lost:
            await make(pool)
        assert lost.value.loss is error
    with pytest.raises(type(error)) as raised:  # nobody is left
        await make(pool)
    assert raised.value is error
    assert [len(server.jobs) for server in servers] == [1, 1, 1]


async def test_a_lone_server_speaks_for_itself(servers: list[FakeGenerator]) -> None:
    pool = pool_of(servers[0])
    error = EngineUnavailable("Triton at a cannot be reached")
    servers[0].describe_error = servers[0].refusal = error
    for ask in (pool.models, pool.loras, pool.check_ready, lambda: make(pool), lambda: make(pool)):
        with pytest.raises(EngineUnavailable) as raised:
            await ask()
        assert raised.value is error
    servers[0].describe_error = servers[0].refusal = None
    await make(pool, "back")  # though nobody has asked it
    assert "back" in servers[0].jobs


async def test_a_server_that_is_back_is_found_by_the_first_job(pool: Pool, servers: list[FakeGenerator]) -> None:
    for server in servers:
        server.describe_error = server.refusal = EngineUnavailable("away")
    with pytest.raises(EngineUnavailable):
        await pool.models()
    with pytest.raises(EngineUnavailable, match="away"):
        await make(pool)
    for server in servers:
        server.refusal = None
    await make(pool, "back")
    assert sum("back" in server.jobs for server in servers) == 1


# Draining


async def test_a_drained_server_finishes_its_jobs_and_gets_no_more(
    pool: Pool, servers: list[FakeGenerator], caplog: pytest.LogCaptureFixture
) -> None:
    pool.drain({"b", "c", "of another frontend"})
    servers[0].step_gate.clear()
    running = asyncio.create_task(make(pool, "running"))
    await until(lambda: "running" in servers[0].jobs)
    pool.drain({"a"})
    for number in range(4):
        await make(pool, str(number))
    assert list(servers[0].jobs) == ["running"]
    assert pool.endpoints[0].parts == 1
    servers[0].step_gate.set()
    await running
    pool.drain(())
    pool.drain({"b", "c"})
    await make(pool, "again")
    assert list(servers[0].jobs) == ["running", "again"]
    said = [record.getMessage() for record in caplog.records if "'server': 'a'" in record.getMessage()]
    assert ["is drained" in line for line in said] == [True, False]
    assert "gets jobs again" in said[1]


async def test_where_all_are_drained_jobs_wait(pool: Pool) -> None:
    pool.drain({"a", "b", "c"})
    for ask in (pool.models, pool.loras, pool.check_ready, lambda: make(pool)):
        with pytest.raises(EngineUnavailable, match="Triton at a is being drained and takes no new jobs; Triton at b"):
            await ask()


async def test_servers_have_names(pool: Pool) -> None:
    assert pool.find("b") is pool.endpoints[1]
    with pytest.raises(ServerNotFound, match="there is no server 'd'; there are: a, b, c"):
        pool.find("d")


# What all of them say


async def test_a_model_of_a_server_that_is_away_or_drained_is_missing(servers: list[FakeGenerator]) -> None:
    servers[0].cards = [model_card("rare")]
    pool = pool_of(*servers)
    await pool.models()
    assert pool.missing(lambda card: card.id == "rare") is None
    pool.drain({"a"})
    assert [card.id for card in await pool.models()] == [MODEL]
    assert pool.missing(lambda card: card.id == "rare") == "Triton at a is being drained and takes no new jobs"
    assert pool.missing(lambda card: card.id == "unheard of") is None
    with pytest.raises(EngineUnavailable, match="is being drained"):
        await make(pool, model="rare")
    pool.drain(())
    servers[0].describe_error = servers[0].refusal = EngineUnavailable("Triton at a cannot be reached")
    assert [card.id for card in await pool.models()] == [MODEL]
    assert pool.missing(lambda card: card.id == "rare") == "Triton at a cannot be reached"
    with pytest.raises(EngineUnavailable, match="Triton at a cannot be reached"):
        await make(pool, model="rare")
    assert sum(map(len, jobs_of(servers)[1:])) == 0


async def test_a_server_that_has_never_answered_may_have_any_model(servers: list[FakeGenerator]) -> None:
    servers[0].describe_error = servers[0].refusal = EngineUnavailable("Triton at a cannot be reached")
    pool = pool_of(*servers)
    await pool.models()
    assert pool.missing(lambda card: card.id == "unheard of") == "Triton at a cannot be reached"
    with pytest.raises(EngineUnavailable, match="Triton at a cannot be reached"):
        await make(pool, model="unheard of")


async def test_one_ready_server_is_enough(pool: Pool, servers: list[FakeGenerator]) -> None:
    servers[0].describe_error = EngineUnavailable("a is away")
    servers[1].describe_error = EngineFailed("b talks nonsense")
    await pool.check_ready()
    servers[2].describe_error = EngineUnavailable("c is away")
    with pytest.raises(EngineUnavailable) as raised:
        await pool.check_ready()
    assert sorted(raised.value.message.split("; ")) == ["a is away", "b talks nonsense", "c is away"]


async def test_adapters_of_all_are_listed_once(pool: Pool, servers: list[FakeGenerator]) -> None:
    ink = LoraInfo(name="ink", bytes=10, models=["one"])
    servers[0].adapters = [LoraInfo(name="ink", bytes=10, error="it fits no model"), LoraInfo(name="fog", bytes=1)]
    servers[1].adapters = [ink]
    servers[2].adapters = [ink.model_copy(update={"models": ["one", "two"]})]
    assert await pool.loras() == [
        LoraInfo(name="ink", bytes=10, models=["one", "two"]),
        LoraInfo(name="fog", bytes=1),
    ]


async def test_a_bug_is_not_taken_for_an_outage(pool: Pool, servers: list[FakeGenerator]) -> None:
    servers[1].describe_error = RuntimeError("bug")
    with pytest.raises(RuntimeError, match="bug"):
        await pool.models()
