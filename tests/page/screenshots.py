"""`python -m tests.page.screenshots REPOSITORY FOLDER`: images of the page, at a real server of the toys."""

import argparse
import io
import tempfile
from pathlib import Path
from typing import Literal

import httpx
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from launcher.background import BackgroundServer
from tests.page.chromium import chromium
from tests.page.conftest import DESK, PHONE
from tests.page.parts import cards, generate, open_more, tiles, wait_for

VIDEOS = (
    ("a red circle moving right on a black background", 3),
    ("a blue square that grows on a white background", 4),
    ("an orange ring falling against grey", 8),
    ("a green triangle moving left on a black background", 5),
    ("a purple plus sign, falling, against white", 3),
    ("a yellow circle that shrinks on a grey background", 2),
)
IMAGES = (
    ("a purple ring on a grey background", 3),
    ("a green triangle on a white background", 1),
    ("a yellow square on a black background", 2),
)


def take_screenshots(url: str, folder: Path) -> None:
    """Of a server without jobs."""
    for kind, prompts in (("images", IMAGES), ("videos", VIDEOS)):
        for prompt, seed in prompts:
            made = httpx.post(f"{url}/v1/{kind}/generations", json={"prompt": prompt, "seed": seed}, timeout=120)
            made.raise_for_status()
    with chromium() as browser:
        _desk(browser, url, folder)
        _at_work(browser, url, folder)
        _phone(browser, url, folder)
        _dialogs(browser, url, folder)


def _desk(browser: Browser, url: str, folder: Path) -> None:
    page = _open(browser, url, DESK)
    page.locator("#prompt").fill("a red circle moving right on a black background")
    _save(page, folder / "page.png")


def _at_work(browser: Browser, url: str, folder: Path) -> None:
    page = _open(browser, url, DESK, "dark")
    open_more(page)
    page.locator("input[name=size][value=custom]").check()
    page.get_by_label("Width").fill("96")
    page.get_by_label("Height").fill("96")
    page.get_by_label("Length").fill("6")
    page.get_by_label("Steps").fill("100")
    generate(page, "an orange ring falling against grey")
    generate(page, "a blue square that grows on a white background")
    expect(cards(page).get_by_alt_text("Preview of the result").first).to_be_visible(timeout=120_000)
    wait_for(page, "[...document.querySelectorAll('.card img')].filter((one) => one.dataset.step > 20).length > 1")
    _save(page, folder / "page-dark.png")
    while cards(page).count():
        cards(page).first.get_by_role("button", name="Cancel").click()


def _phone(browser: Browser, url: str, folder: Path) -> None:
    _save(_open(browser, url, PHONE), folder / "page-phone.png")


def _dialogs(browser: Browser, url: str, folder: Path) -> None:
    page = _open(browser, url, DESK)
    _tile(page, VIDEOS[2][0]).get_by_role("button").click()
    wait_for(page, "document.querySelector('dialog video').currentTime > 0.4")
    _save(page, folder / "page-detail.png")
    page.keyboard.press("Escape")
    for prompt in (VIDEOS[0][0], VIDEOS[3][0]):
        _tile(page, prompt).get_by_role("checkbox").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    wait_for(page, "document.querySelector('dialog video').currentTime > 0.3")
    _save(page, folder / "page-compare.png")


def _tile(page: Page, prompt: str) -> Locator:
    return tiles(page).filter(has_text=prompt).first


def _open(browser: Browser, url: str, viewport: ViewportSize, scheme: Literal["light", "dark"] = "light") -> Page:
    page = browser.new_page(viewport=viewport, color_scheme=scheme)
    page.goto(url)
    expect(tiles(page)).to_have_count(len(VIDEOS) + len(IMAGES))
    wait_for(page, "[...document.querySelectorAll('#tiles img')].slice(0, 6).every((one) => one.naturalWidth > 0)")
    return page


def _save(page: Page, path: Path) -> None:
    page.mouse.move(0, 0)
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} KiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path, help="exported toys")
    parser.add_argument("folder", type=Path, help="where the images go")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="screenshots-") as run_dir,
        BackgroundServer(options.repository, Path(run_dir)) as server,
    ):
        take_screenshots(server.url, options.folder)


if __name__ == "__main__":
    main()
