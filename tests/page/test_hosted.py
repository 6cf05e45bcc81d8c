"""Models of hosted providers, at servers that speak their protocols."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from frontend.providers.demo.stage import on_stage
from frontend.providers.registry import Registry
from tests.page.page_server import PageServer, page_server
from tests.page.parts import choose_model, generate, open_more, open_tile, tiles

MODEL = "hunyuan-video-1.5"


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    with (
        on_stage(polls=1) as stage,
        page_server(tmp_path_factory.mktemp("hosted"), Registry(stage.environment)) as server,
    ):
        yield server


def test_a_hosted_video_costs_what_is_said_and_is_made(page: Page, server: PageServer) -> None:
    told = httpx.get(f"{server.url}/v1/models/{MODEL}").json()
    choose_model(page, MODEL)
    assert f"${min(told['dollars_per_second'].values()):.2f} per second" in page.locator("#model-summary").inner_text()
    open_more(page)
    expect(page.get_by_label("Steps")).to_be_hidden()
    page.get_by_label("Seconds", exact=True).select_option(str(told["durations"][-1]))
    page.get_by_label("Resolution").select_option(told["resolutions"][0])
    page.get_by_label("Aspect").select_option("9:16")
    rates = told["dollars_per_second"]
    rate = rates.get(told["resolutions"][0], rates.get(""))
    dollars = f"${rate * told['durations'][-1]:.2f}"
    expect(page.get_by_role("note")).to_have_text(f"A video costs {dollars} by the provider's price list.")
    generate(page, "a red fox runs")
    expect(tiles(page)).to_have_count(1)
    (job,) = server.jobs()
    asked = {name: job["params"][name] for name in ("duration", "resolution", "aspect_ratio")}
    assert asked == {
        "duration": told["durations"][-1],
        "resolution": told["resolutions"][0],
        "aspect_ratio": "9:16",
    }
    assert f"${job['params']['price']:.2f}" == dollars
    dialog = open_tile(page)
    expect(dialog).to_contain_text(f"{dollars}, by wavespeed")
    dialog.get_by_role("button", name="Remix").click()
    expect(page.locator("#model")).to_have_value(MODEL)
    expect(page.get_by_label("Aspect")).to_have_value("9:16")
