"""Parts of the page, as a person finds them."""

import base64
import re
import time
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.waiting import SECONDS


def tiles(page: Page) -> Locator:
    return page.locator("#tiles > li")


def cards(page: Page) -> Locator:
    return page.locator("#cards > li")


def generate(page: Page, prompt: str, model: str | None = None) -> None:
    """Fill the form as far as it must be, and send it."""
    choose_model(page, model)
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_role("button", name="Generate").click()


def choose_model(page: Page, model: str | None) -> None:
    select = page.locator("#model")
    expect(select.locator("option").first).to_be_attached()  # the models have been listed
    if model is not None:
        select.select_option(model)


def open_more(page: Page) -> None:
    details = page.locator("details.more")
    if details.get_attribute("open") is None:
        details.locator("summary").click()


def open_tile(page: Page, index: int = 0) -> Locator:
    """The dialog of a file, of those that the server has now."""
    page.reload(wait_until="domcontentloaded")
    tiles(page).nth(index).get_by_role("button").click()
    dialog = page.get_by_role("dialog", name=re.compile("^(Video|Image)$"))
    expect(dialog).to_be_visible()
    return dialog


def notice(page: Page, text: str | re.Pattern[str]) -> Locator:
    return page.locator("#notices").get_by_text(text)


def drop(page: Page, name: str, content: bytes, media_type: str) -> None:
    """Drop a file on the page, as from a folder."""
    page.evaluate(
        """([name, content, type]) => {
            const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, { type }));
            const options = { dataTransfer: data, bubbles: true, cancelable: true };
            for (const event of ["dragenter", "dragover", "drop"])
                document.body.dispatchEvent(new DragEvent(event, options));
        }""",
        [name, base64.b64encode(content).decode(), media_type],
    )


def fits(page: Page) -> bool:
    """Whether nothing is cut off at the side."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width <= 0


def overlap(one: Locator, other: Locator) -> bool:
    """Whether they lie upon one another."""
    first, second = one.bounding_box(), other.bounding_box()
    assert first
    assert second
    across = first["x"] < second["x"] + second["width"] and second["x"] < first["x"] + first["width"]
    down = first["y"] < second["y"] + second["height"] and second["y"] < first["y"] + first["height"]
    return across and down


def downloaded(page: Page, link: Locator, folder: Path) -> Path:
    with page.expect_download() as download:
        link.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def wait_for(page: Page, expression: str) -> None:
    """Until it is true in the page, whose policy lets no text become code but by the debugger's word."""
    deadline = time.monotonic() + SECONDS
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)
