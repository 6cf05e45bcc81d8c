"""A browser and a server for each file of tests, and pages of two widths."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.page.chromium import chromium
from tests.page.page_server import PageServer, page_server

DESK, PHONE = ViewportSize(width=1280, height=860), ViewportSize(width=390, height=844)
MILLISECONDS = 30_000
"""that the page is waited for, on a busy machine"""
expect.set_options(timeout=MILLISECONDS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    with page_server(tmp_path_factory.mktemp("page")) as server:
        yield server


@pytest.fixture
def server(running_server: PageServer) -> Iterator[PageServer]:
    """Without jobs of other tests."""
    yield running_server
    running_server.clear()


@dataclass
class Complaints:
    """What the browser says in its console that no test expects."""

    heard: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """parts of what a test makes it say"""

    def listen(self, page: Page) -> None:
        page.on("console", lambda message: self.add(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.add(str(error)))

    def add(self, text: str) -> None:
        self.heard.append(text)

    def unexpected(self) -> list[str]:
        return [text for text in self.heard if not any(part in text for part in self.expected)]


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """No error, and nothing that the page's policy forbids."""
    complaints = Complaints()
    yield complaints
    assert complaints.unexpected() == []


@pytest.fixture(scope="module")
def contexts(browser: Browser) -> Iterator[Callable[[ViewportSize], BrowserContext]]:
    """A profile for each width, which keeps the page's files."""

    @cache
    def of_width(width: int) -> BrowserContext:
        viewport = next(one for one in (DESK, PHONE) if one["width"] == width)
        context = browser.new_context(viewport=viewport, permissions=["clipboard-read", "clipboard-write"])
        context.set_default_timeout(MILLISECONDS)
        return context

    yield lambda viewport: of_width(viewport["width"])
    of_width.cache_clear()


@pytest.fixture
def open_page(
    contexts: Callable[[ViewportSize], BrowserContext], server: PageServer, complaints: Complaints
) -> Iterator[Callable[[ViewportSize], Page]]:
    """Opens the page in a width."""
    opened = []

    def open_page(viewport: ViewportSize) -> Page:
        page = contexts(viewport).new_page()
        opened.append(page)
        complaints.listen(page)
        page.goto(server.url, wait_until="domcontentloaded")
        return page

    yield open_page
    for page in opened:
        page.close()


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, open_page: Callable[[ViewportSize], Page]) -> Page:
    """The page, open: for what could differ between a desk and a phone."""
    return open_page(request.param)


@pytest.fixture
def desk(open_page: Callable[[ViewportSize], Page]) -> Page:
    """The page, open on a desk: for what is the same everywhere."""
    return open_page(DESK)
