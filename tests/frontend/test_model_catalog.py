import asyncio

import pytest

from frontend.errors import EngineUnavailable
from frontend.model_catalog import ModelCatalog
from protocol.errors import ModelNotFound
from tests.frontend.fake_engine import FakeEngine
from tests.model_cards import model_card


async def test_young_cards_are_not_asked_for_again(engine: FakeEngine) -> None:
    catalog = ModelCatalog(engine)
    assert [await catalog.get("toy-wan-t2v") for _ in range(3)] == [model_card()] * 3
    assert engine.describe_calls == 1


async def test_old_cards_are(engine: FakeEngine) -> None:
    catalog = ModelCatalog(engine, max_age_seconds=0)
    await catalog.get("toy-wan-t2v")
    engine.cards = [model_card("other")]
    assert (await catalog.get("other")).id == "other"
    with pytest.raises(ModelNotFound, match="served here: other"):
        await catalog.get("toy-wan-t2v")


async def test_callers_at_the_same_time_share_one_call(engine: FakeEngine) -> None:
    catalog = ModelCatalog(engine)
    await asyncio.gather(*(catalog.cards() for _ in range(10)))
    assert engine.describe_calls == 1


async def test_a_caller_that_leaves_takes_nobody_along(engine: FakeEngine) -> None:
    catalog = ModelCatalog(engine)
    leaving, staying = [asyncio.create_task(catalog.cards()) for _ in range(2)]
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == [model_card()]


async def test_the_engine_may_come_later(engine: FakeEngine) -> None:
    catalog = ModelCatalog(engine)
    engine.describe_error = EngineUnavailable("away")
    with pytest.raises(EngineUnavailable, match="away"):
        await catalog.cards()
    engine.describe_error = None
    assert await catalog.cards() == [model_card()]
