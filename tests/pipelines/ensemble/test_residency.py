"""Residency: models are loaded when calls need them, and no more of them than the budget allows."""

import asyncio
from collections import defaultdict

import pytest

from pipelines.ensemble.residency import LEAST_TURN_SECONDS, Residency
from protocol.errors import ModelFailed

TEXT, HIGH, LOW, VAE, ENCODER = "text_encoder", "transformer", "transformer_2", "vae", "vae_encoder"
WEIGHTS = {TEXT: 20, HIGH: 50, LOW: 50, VAE: 5, ENCODER: 5}
ROUTE = (TEXT, HIGH, LOW, VAE)


class Loader:
    """A `ModelControl` whose loads and unloads end when the test says so, unless they are `quick`."""

    def __init__(self, quick: bool = True) -> None:
        self.quick = quick
        self.loaded: set[str] = set()
        self.most = 0
        self.did: list[str] = []
        self.under_way: dict[str, asyncio.Future[None]] = {}
        self.wrong: dict[str, str] = {}
        """`load NAME` or `unload NAME` -> why it fails"""

    async def load(self, model: str) -> None:
        self.loaded.add(model)  # its memory is taken from the beginning
        self.most = max(self.most, sum(WEIGHTS[one] for one in self.loaded))
        try:
            await self._do(f"load {model}")
        except Exception:
            self.loaded.discard(model)
            raise

    async def unload(self, model: str) -> None:
        await self._do(f"unload {model}")
        self.loaded.discard(model)

    async def _do(self, what: str) -> None:
        self.did.append(what)
        if not self.quick:
            self.under_way[what] = asyncio.get_running_loop().create_future()
            await self.under_way[what]
        if what in self.wrong:
            raise ModelFailed(self.wrong[what])

    async def finish(self, what: str) -> None:
        """Let what is under way end."""
        self.under_way.pop(what).set_result(None)
        await settle()


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Served:
    """Models behind a residency."""

    def __init__(self, budget: int, quick: bool = True) -> None:
        self.loader = Loader(quick)
        self.clock = Clock()
        self.sentences: list[str] = []
        self.residency = Residency(self.loader, budget, failed=self.sentences.append, clock=self.clock)
        self.residency.add(WEIGHTS)
        self.inside: defaultdict[str, int] = defaultdict(int)

    async def call(self, model: str, until: asyncio.Event | None = None) -> None:
        async with self.residency.call(model):
            assert model in self.loader.loaded
            self.inside[model] += 1
            if until is not None:
                await until.wait()
            assert model in self.loader.loaded
            self.inside[model] -= 1


async def settle() -> None:
    """Whatever can go on without being let go on has done so."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_call_loads_its_model_and_the_next_finds_it() -> None:
    served = Served(budget=60)

    await served.call(HIGH)
    await served.call(HIGH)

    assert served.loader.did.count(f"load {HIGH}") == 1


async def test_calls_of_a_model_that_is_loaded_do_not_wait_for_each_other() -> None:
    served = Served(budget=60)
    done = asyncio.Event()
    tasks = [asyncio.create_task(served.call(HIGH, done)) for _ in range(3)]
    await settle()

    assert served.inside[HIGH] == 3
    done.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("budget", [50, 55, 70, 75, 100, 125])
async def test_the_budget_is_kept_whatever_jobs_do(budget: int) -> None:
    served = Served(budget)

    async def job() -> None:
        with served.residency.job(ROUTE):
            for model in ROUTE:
                for _ in range(3):
                    await served.call(model)
                    await asyncio.sleep(0)

    jobs = asyncio.gather(*(job() for _ in range(4)))
    while not jobs.done():
        served.clock.seconds += 1
        served.residency.keep(WEIGHTS)  # looks again, as its timer would
        await asyncio.sleep(0)

    await jobs
    assert served.loader.most <= budget


async def test_with_room_for_everything_nothing_is_ever_unloaded() -> None:
    served = Served(budget=125)
    for _ in range(3):
        with served.residency.job(ROUTE):
            for model in ROUTE:
                await served.call(model)

    assert sorted(served.loader.did) == sorted(f"load {model}" for model in ROUTE)


async def test_models_are_loaded_before_anybody_needs_them_where_there_is_room() -> None:
    served = Served(budget=75)
    served.residency.keep(WEIGHTS)
    await settle()

    assert served.loader.loaded == {TEXT, HIGH, VAE}
    assert not any(what.startswith("unload") for what in served.loader.did)


async def test_the_model_that_was_not_needed_for_longest_goes() -> None:
    served = Served(budget=75)
    for model in (VAE, TEXT, HIGH):
        served.clock.seconds += 1
        await served.call(model)

    await served.call(LOW)

    assert served.loader.loaded == {LOW, VAE, TEXT}, "room for it is made by one model, not by more"


async def test_a_model_stays_while_a_call_is_in_it() -> None:
    served = Served(budget=60)
    done = asyncio.Event()
    step = asyncio.create_task(served.call(HIGH, done))
    await settle()
    served.clock.seconds = 1000
    other = asyncio.create_task(served.call(LOW))
    await settle()
    assert not other.done()
    assert f"unload {HIGH}" not in served.loader.did

    done.set()
    await asyncio.gather(step, other)
    assert served.loader.did[-2:] == [f"unload {HIGH}", f"load {LOW}"]


async def test_a_job_keeps_its_model_between_its_steps_as_long_as_its_turn_lasts() -> None:
    served = Served(budget=60)
    with served.residency.job(ROUTE):
        await served.call(HIGH)
        other = _of_another_job(served, LOW)
        await settle()
        for _ in range(5):
            await served.call(HIGH)
        assert not other.done()
        assert f"unload {HIGH}" not in served.loader.did
    await other  # the job has gone


async def test_when_its_turn_is_over_a_job_waits_until_others_have_had_theirs() -> None:
    served = Served(budget=60)
    with served.residency.job(ROUTE):
        await served.call(HIGH)
        done = asyncio.Event()
        other = _of_another_job(served, LOW, done)
        await settle()
        served.clock.seconds = LEAST_TURN_SECONDS
        step = asyncio.create_task(served.call(HIGH))
        await settle()
        assert served.inside[LOW] == 1
        assert not step.done()

        done.set()
        await asyncio.gather(step, other)
    assert [what for what in served.loader.did if what.startswith("load")].count(f"load {HIGH}") == 2


async def test_the_end_of_a_turn_is_noticed_though_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.ensemble.residency.LEAST_TURN_SECONDS", 0.05)
    loader = Loader()
    residency = Residency(loader, 60)
    residency.add(WEIGHTS)
    with residency.job(ROUTE):
        async with residency.call(HIGH):
            pass
        await asyncio.wait_for(_call_of_another_job(residency, LOW), 30)
    assert loader.loaded >= {LOW}


async def test_what_is_loaded_ahead_stays_rather_than_what_nobody_needs() -> None:
    served = Served(budget=75)
    done = asyncio.Event()
    job = _of_another_job(served, LOW, done)
    await settle()
    assert served.loader.loaded == {LOW, VAE}
    served.clock.seconds = 1
    await served.call(TEXT)
    await served.call(ENCODER)
    assert served.loader.loaded == {LOW, VAE, ENCODER}
    done.set()
    await job


async def test_what_is_new_is_not_loaded_while_there_are_jobs() -> None:
    served = Served(budget=130)
    with served.residency.job(ROUTE):
        await served.call(VAE)
        served.residency.keep(WEIGHTS)
        await settle()
        assert served.loader.loaded == {VAE}
    await settle()
    assert served.loader.loaded == WEIGHTS.keys()


async def test_a_turn_is_as_long_as_loading_is_dear() -> None:
    served = Served(budget=60, quick=False)
    with served.residency.job(ROUTE):
        first = asyncio.create_task(served.call(HIGH))
        await settle()
        served.clock.seconds = 100  # it took that long to load
        await served.loader.finish(f"load {HIGH}")
        await first
        other = _of_another_job(served, LOW)
        await settle()
        served.clock.seconds += 399
        await served.call(HIGH)
        assert not other.done()

        served.clock.seconds += 1
        step = asyncio.create_task(served.call(HIGH))
        await settle()
        await served.loader.finish(f"unload {HIGH}")
        await served.loader.finish(f"load {LOW}")
        await other
        await served.loader.finish(f"unload {LOW}")
        await served.loader.finish(f"load {HIGH}")
        await step


async def test_who_waits_first_is_served_first() -> None:
    served = Served(budget=55)
    done = asyncio.Event()
    first = asyncio.create_task(served.call(TEXT, done))
    await settle()
    served.clock.seconds = 1000
    order: list[str] = []
    waiting = []
    for model in (LOW, VAE, ENCODER):
        waiting.append(asyncio.create_task(served.call(model)))
        waiting[-1].add_done_callback(lambda _, model=model: order.append(model))  # type: ignore[misc]
        await settle()
    assert order == [VAE], "beside the transformer, which waits for room, there is room for one more, not for two"

    done.set()
    await asyncio.gather(first, *waiting)
    assert order == [VAE, LOW, ENCODER]


async def test_the_next_model_is_loaded_while_the_current_one_runs() -> None:
    served = Served(budget=75, quick=False)
    done = asyncio.Event()
    with served.residency.job(ROUTE):
        text = asyncio.create_task(served.call(TEXT, done))
        await settle()
        await served.loader.finish(f"load {TEXT}")
        assert served.inside[TEXT] == 1
        assert f"load {HIGH}" in served.loader.under_way

        done.set()
        await text
        step = asyncio.create_task(served.call(HIGH))
        await served.loader.finish(f"load {HIGH}")
        await step


async def test_loading_ahead_takes_no_room_from_what_jobs_are_at() -> None:
    served = Served(budget=60)
    with served.residency.job(ROUTE):
        await served.call(HIGH)
        served.clock.seconds = 1000
        await served.call(HIGH)
        await settle()
        assert served.loader.did == [f"load {HIGH}"]


async def test_a_cancelled_call_waits_no_longer_and_what_it_loads_goes_when_others_need_the_room() -> None:
    served = Served(budget=60, quick=False)
    step = asyncio.create_task(served.call(HIGH))
    await settle()
    step.cancel()
    await settle()
    assert step.cancelled()

    other = asyncio.create_task(served.call(LOW))
    await settle()
    assert not other.done()
    await served.loader.finish(f"load {HIGH}")
    await served.loader.finish(f"unload {HIGH}")
    await served.loader.finish(f"load {LOW}")
    await other


async def test_a_call_cancelled_as_it_enters_leaves() -> None:
    for moments in range(8):  # at one of which it has been let in, and does not know yet
        served = Served(budget=60, quick=False)
        step = asyncio.create_task(served.call(HIGH, asyncio.Event()))
        await settle()
        served.loader.under_way.pop(f"load {HIGH}").set_result(None)
        for _ in range(moments):
            await asyncio.sleep(0)
        step.cancel()
        await settle()

        served.loader.quick = True
        await asyncio.wait_for(served.call(LOW), 10)
        assert HIGH not in served.loader.loaded


async def test_when_a_model_cannot_be_loaded_all_who_wait_hear_why_and_the_next_try_anew() -> None:
    served = Served(budget=60, quick=False)
    served.loader.wrong[f"load {HIGH}"] = "no space left"
    steps = [asyncio.create_task(served.call(HIGH)) for _ in range(2)]
    await settle()
    await served.loader.finish(f"load {HIGH}")
    for step in steps:
        with pytest.raises(ModelFailed, match="transformer could not be loaded: no space left"):
            await step

    served.loader.wrong.clear()
    again = asyncio.create_task(served.call(HIGH))
    await settle()
    await served.loader.finish(f"load {HIGH}")
    await again


async def test_what_fails_when_it_is_loaded_ahead_is_said_once_and_harms_no_job() -> None:
    served = Served(budget=125)
    served.loader.wrong[f"load {HIGH}"] = "broken"
    with served.residency.job(ROUTE):
        await served.call(TEXT)
        await served.call(TEXT)
        await settle()

    assert served.sentences == ["transformer could not be loaded: broken"]


async def test_when_nothing_can_be_unloaded_those_who_wait_for_room_hear_why() -> None:
    served = Served(budget=60)
    served.loader.wrong[f"unload {HIGH}"] = "it hangs"
    await served.call(HIGH)

    with pytest.raises(ModelFailed, match="no room for transformer_2: transformer could not be unloaded: it hangs"):
        await served.call(LOW)

    await served.call(HIGH)  # which is there
    served.loader.wrong.clear()
    served.clock.seconds += LEAST_TURN_SECONDS
    await served.call(LOW)


async def test_a_model_greater_than_the_budget_is_refused_with_the_numbers() -> None:
    residency = Residency(Loader(), 40_000_000)
    with pytest.raises(ValueError, match=r"transformer take 0\.05 GB.*may take 0\.04 GB.*--weights-memory"):
        residency.add({HIGH: 50_000_000})


async def test_a_model_that_streams_its_weights_takes_the_whole_budget() -> None:
    loader = Loader()
    residency = Residency(loader, 40_000_000)
    residency.add({LOW: 10_000_000, HIGH: 50_000_000}, streaming={HIGH})
    for model in (LOW, HIGH, LOW):
        async with residency.call(model):
            assert loader.loaded == {model}
            assert residency.unused_bytes == (0 if model == HIGH else 30_000_000)


async def test_what_is_not_served_any_more_is_unloaded_once_its_jobs_are_done() -> None:
    served = Served(budget=125)
    with served.residency.job(ROUTE):
        await served.call(HIGH)
        await settle()
        served.residency.keep({TEXT})
        await settle()
        assert HIGH in served.loader.loaded

    served.residency.keep({TEXT})
    await settle()
    assert served.loader.loaded == {TEXT}
    with pytest.raises(ModelFailed, match="not served"):
        await served.call(HIGH)


def _of_another_job(served: Served, model: str, until: asyncio.Event | None = None) -> asyncio.Task[None]:
    async def run() -> None:
        with served.residency.job(ROUTE):
            await served.call(model, until)

    return asyncio.create_task(run())


async def _call_of_another_job(residency: Residency, model: str) -> None:
    async def run() -> None:
        with residency.job(ROUTE):
            async with residency.call(model):
                pass

    await asyncio.create_task(run())
