"""What has been made, and how it is found again and compared."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.page.page_server import PageServer, page_server
from tests.page.parts import fits, tiles, wait_for

VIDEOS, IMAGES = 22, 3
"""with two more, more than a page of the list"""


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """With jobs that all tests look at; `server` leaves them."""
    with page_server(tmp_path_factory.mktemp("gallery")) as server:
        many = [server.ask(f"video {number} of many", num_frames=1) for number in range(VIDEOS)]
        many += [server.ask(f"picture {number}", "images") for number in range(IMAGES)]
        for job_id in many:
            server.wait_for(job_id, "completed")
        server.make("the newest", seed=5, guidance_scale=2.0, num_frames=17)
        server.make("the other", seed=6, guidance_scale=2.0)
        yield server


@pytest.fixture
def server(running_server: PageServer) -> PageServer:
    return running_server


def test_it_goes_on_as_far_as_a_person_scrolls(page: Page) -> None:
    expect(tiles(page).first).to_contain_text("the other")
    page.wait_for_load_state("networkidle")
    assert tiles(page).count() < VIDEOS + IMAGES + 2
    for _ in range(20):
        page.mouse.wheel(0, 4000)
        page.wait_for_timeout(100)
        if tiles(page).count() == VIDEOS + IMAGES + 2:
            break
    expect(tiles(page)).to_have_count(VIDEOS + IMAGES + 2)
    expect(tiles(page).last).to_contain_text("video 0 of many")
    texts = tiles(page).all_inner_texts()
    assert len(set(texts)) == len(texts)
    assert fits(page)


def test_thumbnails_are_shown(desk: Page) -> None:
    first = tiles(desk).first.locator("img")
    expect(first).to_be_visible()
    wait_for(desk, "document.querySelector('#tiles img').naturalWidth > 0")
    assert "thumbnail" in (first.get_attribute("src") or "")


def test_a_video_plays_while_it_is_pointed_at_or_has_the_focus(page: Page) -> None:
    opener = tiles(page).nth(1).get_by_role("button")
    opener.hover()
    wait_for(page, "document.querySelector('#tiles video')?.currentTime > 0")
    page.locator(".wordmark").hover()
    expect(page.locator("#tiles video")).to_have_count(0)
    page.keyboard.press("Shift+Tab")
    opener.focus()
    wait_for(page, "document.querySelector('#tiles video')?.currentTime > 0")
    page.locator("#prompt").focus()
    expect(page.locator("#tiles video")).to_have_count(0)


def test_kind_model_and_words_of_the_prompt_filter_it(page: Page) -> None:
    page.get_by_label("Images", exact=True).check(force=True)
    expect(tiles(page)).to_have_count(IMAGES)
    page.get_by_label("Videos", exact=True).check(force=True)
    page.get_by_label("Search prompts").fill("VIDEO 21 of")
    expect(tiles(page)).to_have_count(1)
    expect(tiles(page)).to_contain_text("video 21 of many")
    page.get_by_label("Search prompts").fill("")
    page.get_by_label("All", exact=True).check(force=True)
    page.locator("#filters select").select_option("toy-qwen-image")
    expect(tiles(page)).to_have_count(IMAGES)
    page.get_by_label("Search prompts").fill("nothing of that kind")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    assert fits(page)


def test_two_are_compared_in_step(page: Page, tmp_path: Path) -> None:
    boxes = tiles(page).get_by_role("checkbox")
    boxes.nth(0).check()
    expect(page.get_by_role("button", name="Compare", exact=True)).to_be_disabled()
    boxes.nth(1).check()
    page.get_by_role("button", name="Compare", exact=True).click()
    dialog = page.get_by_role("dialog", name="Compare")
    expect(dialog.locator("video")).to_have_count(2)
    wait_for(page, "[...document.querySelectorAll('dialog video')].every(one => one.currentTime > 0)")
    dialog.get_by_role("button", name="Pause").click()
    times = "[...document.querySelectorAll('dialog video')].map(one => one.currentTime)"
    first, second = page.evaluate(times)
    assert abs(first - second) < 0.3 or first == 1.125  # the shorter one stays at its end
    dialog.get_by_label("Position").fill("400")
    wait_for(page, f"new Set({times}.map(one => one.toFixed(2))).size === 1")
    rows = dialog.get_by_role("row")
    expect(rows.filter(has_text="Seed")).to_have_text("Seed65")
    expect(rows.filter(has_text="the newest")).to_have_count(1)
    expect(rows.filter(has_text="Guidance")).to_have_count(0)  # is the same
    assert fits(page)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#compare-bar")).to_be_hidden()


def test_a_third_takes_the_place_of_the_first(desk: Page) -> None:
    boxes = tiles(desk).get_by_role("checkbox")
    for index in range(3):
        boxes.nth(index).check()
    assert [boxes.nth(index).is_checked() for index in range(3)] == [False, True, True]
