import asyncio

import pytest

from frontend.errors import EngineUnavailable
from frontend.model_catalog import ModelCatalog
from protocol.errors import ModelNotFound
from tests.frontend.fake_generator import FakeGenerator
from tests.model_cards import model_card


async def test_young_cards_are_not_asked_for_again(generator: FakeGenerator) -> None:
    catalog = ModelCatalog(generator)
    assert [await catalog.get("toy-wan-t2v") for _ in range(3)] == [model_card()] * 3
    assert generator.describe_calls == 1


async def test_old_cards_are(generator: FakeGenerator) -> None:
    catalog = ModelCatalog(generator, max_age_seconds=0)
    await catalog.get("toy-wan-t2v")
    generator.cards = [model_card("other")]
    assert (await catalog.get("other")).id == "other"
    with pytest.raises(ModelNotFound, match="served here: other"):
        await catalog.get("toy-wan-t2v")


async def test_callers_at_the_same_time_share_one_call(generator: FakeGenerator) -> None:
    catalog = ModelCatalog(generator)
    await asyncio.gather(*(catalog.cards() for _ in range(10)))
    assert generator.describe_calls == 1


async def test_a_caller_that_leaves_takes_nobody_along(generator: FakeGenerator) -> None:
    catalog = ModelCatalog(generator)
    leaving, staying = [asyncio.create_task(catalog.cards()) for _ in range(2)]
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == [model_card()]


async def test_the_generator_may_come_later(generator: FakeGenerator) -> None:
    catalog = ModelCatalog(generator)
    generator.describe_error = EngineUnavailable("away")
    with pytest.raises(EngineUnavailable, match="away"):
        await catalog.cards()
    generator.describe_error = None
    assert await catalog.cards() == [model_card()]
