"""What is shown of jobs while they are made."""

import re

import httpx
from playwright.sync_api import Browser, Page, Route, expect

from tests.page.conftest import Complaints
from tests.page.page_server import PageServer
from tests.page.parts import cards, fits, generate, tiles
from tests.waiting import wait_until


def post(server: PageServer, prompt: str) -> str:
    """The id of a job that somebody else makes."""
    answer = httpx.post(f"{server.url}/v1/videos", json={"prompt": prompt}, headers={"Prefer": "respond-async"})
    return str(answer.json()["id"])


def test_a_card_shows_steps_and_previews_and_becomes_a_tile(page: Page, server: PageServer) -> None:
    server.generator.previews = 2
    server.generator.previews_gate.clear()
    server.generator.frames_gate.clear()
    generate(page, "step by step")
    card = cards(page)
    expect(card).to_contain_text("step by step")
    expect(card.get_by_text("Step 1 of 3")).to_be_visible()
    expect(card.get_by_role("progressbar")).to_be_visible()
    server.generator.previews_gate.set()
    preview = card.get_by_alt_text("Preview of the result")
    expect(preview).to_be_visible()
    expect(preview).to_have_attribute("src", re.compile("^data:image/webp;base64,"))
    expect(preview).to_have_attribute("data-step", "2")
    assert preview.evaluate("image => image.complete && image.naturalWidth") > 0
    assert fits(page)
    server.generator.frames_gate.set()
    expect(tiles(page)).to_have_count(1)
    expect(cards(page)).to_have_count(0)
    expect(page.locator("#live")).to_be_hidden()


def test_cancel_is_at_once_and_stops_the_job(page: Page, server: PageServer) -> None:
    server.generator.step_gate.clear()
    cancelled = len(server.generator.cancelled)
    generate(page, "never mind")
    expect(cards(page)).to_have_count(1)
    expect(cards(page).get_by_text("Step 1 of 3")).to_be_visible()
    cards(page).get_by_role("button", name="Cancel: never mind").click()
    expect(cards(page)).to_have_count(0, timeout=1000)
    wait_until(lambda: len(server.generator.cancelled) == cancelled + 1)
    assert server.jobs() == []
    expect(tiles(page)).to_have_count(0)


def test_more_jobs_at_a_time_than_a_browser_has_connections(desk: Page, server: PageServer) -> None:
    server.generator.step_gate.clear()
    for number in range(8):
        generate(desk, f"number {number}")
        expect(cards(desk)).to_have_count(number + 1)
    server.generator.step_gate.set()
    expect(tiles(desk)).to_have_count(8)
    expect(cards(desk)).to_have_count(0)


def test_what_others_make_is_found(desk: Page, server: PageServer) -> None:
    server.generator.step_gate.clear()
    post(server, "from elsewhere")
    expect(cards(desk)).to_have_count(1)
    desk.reload()
    expect(cards(desk)).to_contain_text("from elsewhere")
    server.generator.step_gate.set()
    expect(tiles(desk)).to_have_count(1)
    server.make("done meanwhile")
    expect(tiles(desk)).to_have_count(2)
    expect(tiles(desk).first).to_contain_text("done meanwhile")


def test_a_stream_that_breaks_off_is_asked_for_again(desk: Page, server: PageServer, complaints: Complaints) -> None:
    complaints.expected = ("net::ERR_", "Failed to load resource")
    asked: list[str] = []

    def break_off(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) <= 2:
            route.abort("connectionreset")
        else:
            route.continue_()

    desk.route("**/events?previews=true", break_off)
    server.generator.step_gate.clear()
    generate(desk, "interrupted")
    expect(cards(desk).get_by_text("Step 1 of 3")).to_be_visible()
    assert len(asked) == 3
    server.generator.step_gate.set()
    expect(tiles(desk)).to_have_count(1)


def test_a_job_that_another_client_deletes_goes_away(desk: Page, server: PageServer, complaints: Complaints) -> None:
    complaints.expected = ("status of 404",)
    server.generator.step_gate.clear()
    generate(desk, "short-lived")
    expect(cards(desk).get_by_text("Step 1 of 3")).to_be_visible()
    (job,) = server.jobs()
    httpx.delete(f"{server.url}/v1/jobs/{job['id']}")
    expect(cards(desk)).to_have_count(0)
    expect(tiles(desk)).to_have_count(0)


def test_a_page_that_was_closed_shows_the_job_when_it_is_opened_again(browser: Browser, server: PageServer) -> None:
    server.generator.step_gate.clear()
    first = browser.new_page()
    first.goto(server.url)
    generate(first, "goes on alone")
    expect(cards(first)).to_have_count(1)
    first.close()
    server.generator.step_gate.set()
    wait_until(lambda: [job["status"] for job in server.jobs()] == ["completed"])
    second = browser.new_page()
    second.goto(server.url)
    expect(tiles(second)).to_have_count(1)
    second.close()
