import asyncio
import json
from pathlib import Path

import pytest

from frontend.errors import EngineUnavailable, ModelNotReady
from frontend.launcher_status import LauncherStatus
from frontend.model_catalog import ModelCatalog
from protocol.errors import InvalidRequest, ModelNotFound
from tests.frontend.fake_generator import FakeGenerator, pool_of
from tests.model_cards import model_card


async def test_young_cards_are_not_asked_for_again(generator: FakeGenerator) -> None:
    catalog = ModelCatalog(pool_of(generator))
    assert [await catalog.get("toy-wan-t2v") for _ in range(3)] == [model_card()] * 3
    assert generator.describe_calls == 1


async def test_a_model_has_other_names(generator: FakeGenerator) -> None:
    catalog = ModelCatalog(pool_of(generator), aliases={"sora-2": "toy-wan-t2v", "veo": "nothing"})
    assert (await catalog.choose("sora-2", "text-to-video")).id == "toy-wan-t2v"
    with pytest.raises(ModelNotFound, match="there is no model 'nothing'"):
        await catalog.get("veo")


async def test_old_cards_are(generator: FakeGenerator) -> None:
    catalog = ModelCatalog(pool_of(generator), max_age_seconds=0)
    await catalog.get("toy-wan-t2v")
    generator.cards = [model_card("other")]
    assert (await catalog.get("other")).id == "other"
    with pytest.raises(ModelNotFound, match="served here: other"):
        await catalog.get("toy-wan-t2v")


async def test_callers_at_the_same_time_share_one_call(generator: FakeGenerator) -> None:
    catalog = ModelCatalog(pool_of(generator))
    await asyncio.gather(*(catalog.cards() for _ in range(10)))
    assert generator.describe_calls == 1


async def test_a_caller_that_leaves_takes_nobody_along(generator: FakeGenerator) -> None:
    catalog = ModelCatalog(pool_of(generator))
    leaving, staying = [asyncio.create_task(catalog.cards()) for _ in range(2)]
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == [model_card()]


async def test_the_generator_may_come_later(generator: FakeGenerator) -> None:
    catalog = ModelCatalog(pool_of(generator))
    generator.describe_error = EngineUnavailable("away")
    with pytest.raises(EngineUnavailable, match="away"):
        await catalog.cards()
    generator.describe_error = None
    assert await catalog.cards() == [model_card()]


def launcher_status(file: Path, **coming: object) -> LauncherStatus:
    """One that knows of one model to come."""
    file.write_text(json.dumps({"away": [], "coming": [{"model": "later", "stage": "tracing", **coming}]}))
    return LauncherStatus(file)


async def test_a_model_that_is_being_exported_is_to_be_asked_for_later(
    generator: FakeGenerator, tmp_path: Path
) -> None:
    catalog = ModelCatalog(pool_of(generator), launcher_status(tmp_path / "status.json", tasks=["text-to-image"]))
    with pytest.raises(ModelNotReady, match=r"still exporting later \(tracing\); try again later"):
        await catalog.get("later")
    with pytest.raises(ModelNotReady, match="still exporting later"):
        await catalog.choose(None, "text-to-image")
    assert (await catalog.choose(None, "text-to-video")).id == "toy-wan-t2v"
    with pytest.raises(InvalidRequest, match="no served model does image-to-video"):
        await catalog.choose(None, "image-to-video")


async def test_as_long_as_nothing_is_served_the_first_export_is_waited_for(
    generator: FakeGenerator, tmp_path: Path
) -> None:
    generator.cards = []
    catalog = ModelCatalog(pool_of(generator), launcher_status(tmp_path / "status.json"))
    for asked in (
        catalog.get("later"),
        catalog.choose(None, "text-to-video"),
        catalog.choose("later", "text-to-video"),
    ):
        with pytest.raises(ModelNotReady):
            await asked
    with pytest.raises(EngineUnavailable, match="no model is loaded"):
        await catalog.get("other")


async def test_a_model_whose_export_failed_is_not_found_and_why(generator: FakeGenerator, tmp_path: Path) -> None:
    catalog = ModelCatalog(
        pool_of(generator), launcher_status(tmp_path / "status.json", stage="the disk is full", state="failed")
    )
    with pytest.raises(ModelNotFound, match="later cannot be served: the disk is full; served here: toy-wan-t2v"):
        await catalog.get("later")


async def test_a_served_model_is_served_while_it_is_exported_anew(generator: FakeGenerator, tmp_path: Path) -> None:
    generator.cards = [model_card("later")]
    catalog = ModelCatalog(pool_of(generator), launcher_status(tmp_path / "status.json"))
    assert (await catalog.get("later")).id == "later"


async def test_a_model_that_has_just_come_is_looked_for_anew(
    generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontend.model_catalog.MISSING_MAX_AGE_SECONDS", 0.0)
    catalog = ModelCatalog(pool_of(generator), max_age_seconds=1000)
    await catalog.get("toy-wan-t2v")
    generator.cards = [model_card(), model_card("new")]
    assert (await catalog.get("new")).id == "new"
