"""A server that asks for an API key."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import DESK, MILLISECONDS, PHONE, Complaints
from tests.page.page_server import PageServer, page_server
from tests.page.parts import cards, generate, tiles, wait_for

KEY = "a-key-for-the-page"


@pytest.fixture(scope="module")
def keyed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    with page_server(tmp_path_factory.mktemp("keys"), api_key=KEY) as server:
        yield server


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def keyed_page(
    request: pytest.FixtureRequest, browser: Browser, keyed_server: PageServer, complaints: Complaints
) -> Iterator[Page]:
    complaints.expected = ("status of 401",)
    context = browser.new_context(viewport=request.param)
    context.set_default_timeout(MILLISECONDS)
    page = context.new_page()
    complaints.listen(page)
    page.goto(keyed_server.url)
    yield page
    context.close()


def give(page: Page, key: str) -> None:
    dialog = page.get_by_role("dialog", name="API key")
    dialog.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Use this key").click()


def test_the_key_is_asked_for_and_stays_in_the_tab(keyed_page: Page, keyed_server: PageServer) -> None:
    page = keyed_page
    give(page, "wrong")
    expect(page.get_by_text("The server does not know the key it was given")).to_be_visible()
    give(page, KEY)
    expect(page.locator("#server-state")).to_have_text("4 models")
    keyed_server.generator.step_gate.clear()
    generate(page, "with a key")
    expect(cards(page).get_by_text("Step 1 of 3")).to_be_visible()  # streams have the key, too
    keyed_server.generator.step_gate.set()
    expect(cards(page)).to_have_count(0)
    expect(tiles(page).first).to_contain_text("with a key")
    wait_for(page, "document.querySelector('#tiles img').naturalWidth > 0")
    page.reload()
    expect(tiles(page).first).to_contain_text("with a key")
    stored = page.evaluate(
        "[JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie, location.href]"
    )
    assert KEY in stored[0]
    assert not any(KEY in text for text in stored[1:])
    assert KEY not in page.content()


def test_copied_code_has_no_key(keyed_page: Page) -> None:
    give(keyed_page, KEY)
    expect(keyed_page.locator("#server-state")).to_have_text("4 models")
    keyed_page.get_by_role("button", name="Copy as curl or Python").click()
    code = keyed_page.get_by_role("dialog", name="As code").locator("pre")
    expect(code).to_contain_text('-H "Authorization: Bearer $TRITONREEL_API_KEY"')
    assert KEY not in code.inner_text()
