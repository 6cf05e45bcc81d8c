"""`/docs` in Debian's chromium."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser
from pydantic import SecretStr

from frontend.app import create_app
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.page.chromium import chromium

pytestmark = pytest.mark.slow
KEY = "a-key-for-the-documentation"
MILLISECONDS = 60_000


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_asks_for_the_key_tries_a_route_and_calls_nobody_else(
    serve: Serve, generator: FakeGenerator, browser: Browser, scheme: str
) -> None:
    app = create_app(Settings(triton_metrics_url=NOWHERE, api_key=SecretStr(KEY)), generator)
    page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(MILLISECONDS)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    with serve(app) as url:
        page.goto(f"{url}/docs")
        page.fill("#key", "wrong")
        page.click("#key-form button")
        page.wait_for_selector("#refusal:not(:empty)")
        assert "Incorrect API key" in str(page.text_content("#refusal"))
        page.fill("#key", KEY)
        page.click("#key-form button")
        page.click("#operations-jobs-list_jobs_v1_jobs_get .opblock-summary-control")
        page.click("text=Try it out")
        page.click(".execute")
        page.wait_for_selector(".live-responses-table .response .response-col_status")
        assert str(page.text_content(".live-responses-table .response .response-col_status")).startswith("200")
        dark = page.evaluate("document.documentElement.classList.contains('dark-mode')")
    page.close()
    assert dark == (scheme == "dark")
    assert [text for text in said if "401" not in text] == []  # no policy was broken, and nothing was missing
    hosts = {urlsplit(address).netloc for address in asked if not address.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(url).netloc}
