"""axe finds nothing serious in any state of the page, light or dark, wide or narrow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

from tests.page.page_server import PageServer
from tests.page.parts import cards, fits, generate, open_more, open_tile, tiles

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


def findings(page: Page) -> list[str]:
    """The serious and the critical ones."""
    page.evaluate(AXE)
    page.wait_for_timeout(200)  # transitions of colours
    results: dict[str, Any] = page.evaluate("axe.run()")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in results["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def first_visit(page: Page, server: PageServer) -> None:
    expect(page.get_by_text("Nothing made yet")).to_be_visible()


def all_fields(page: Page, server: PageServer) -> None:
    page.locator("#model").select_option("toy-wan-ti2v")
    open_more(page)
    page.locator("#model").select_option("toy-wan-t2v")
    page.get_by_label("ink", exact=True).check()


def running_job(page: Page, server: PageServer) -> None:
    server.make("done before")
    page.reload()
    server.generator.step_gate.clear()
    generate(page, "at work")
    expect(cards(page)).to_have_count(1)
    expect(tiles(page)).to_have_count(1)


def complaint(page: Page, server: PageServer) -> None:
    generate(page, " ")
    expect(page.get_by_role("alert")).not_to_have_text("")


def detail(page: Page, server: PageServer) -> None:
    server.make("in detail", lora={"name": "ink"})
    open_tile(page).get_by_role("button", name="Extend").click()


def comparison(page: Page, server: PageServer) -> None:
    for seed in (1, 2):
        server.make("compared", seed=seed)
    page.reload()
    for index in range(2):
        tiles(page).get_by_role("checkbox").nth(index).check()
    page.get_by_role("button", name="Compare", exact=True).click()


def code(page: Page, server: PageServer) -> None:
    expect(page.locator("#model option").first).to_be_attached()
    page.get_by_role("button", name="Copy as curl or Python").click()


def panel(page: Page, server: PageServer) -> None:
    page.locator("#server-button").click()
    expect(page.get_by_role("dialog")).to_contain_text("ink")


SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
STATES = (first_visit, all_fields, running_job, complaint, detail, comparison, code, panel)


@pytest.mark.parametrize("arrange", STATES, ids=lambda state: state.__name__)
def test_nothing_serious_is_found(page: Page, server: PageServer, arrange: Callable[[Page, PageServer], None]) -> None:
    expect(page.locator("#server-state")).to_have_text("4 models")
    arrange(page, server)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert findings(page) == [], scheme
    assert fits(page)
