"""What the page tells of the server."""

import json
import re

from playwright.sync_api import Page, Route, expect

from tests.page.conftest import Complaints
from tests.page.page_server import PageServer
from tests.page.parts import choose_model, fits, wait_for


def open_panel(page: Page) -> None:
    page.locator("#server-button").click()
    expect(page.get_by_role("dialog", name="Server")).to_be_visible()


def test_models_queue_throughput_and_adapters(page: Page, server: PageServer) -> None:
    expect(page.locator("#server-state")).to_have_text("4 models")
    open_panel(page)
    panel = page.get_by_role("dialog", name="Server")
    for text in ("toy-wan-t2v", "toy-qwen-image", "Text to image · 64\u00d748", "Running", "Waiting", "ink"):
        expect(panel).to_contain_text(text)
    server.make("while it is open")
    expect(panel).to_contain_text(re.compile(r"[1-9]\d*\.\d frames per second|0\.[1-9] frames per second"))
    wait_for(page, "document.querySelector('.sparkline polyline').getAttribute('points').split(' ').length > 1")
    assert fits(page)
    page.keyboard.press("Escape")
    expect(page.locator("#server-button")).to_be_focused()


def test_what_is_being_exported_is_told(desk: Page, server: PageServer) -> None:
    def with_coming(route: Route) -> None:
        answer = route.fetch()
        body = answer.json() | {
            "coming": [
                {"id": "wan-late", "status": "exporting", "stage": "transformer: tracing"},
                {"id": "wan-lost", "status": "failed", "stage": "<b>no memory</b>"},
            ]
        }
        route.fulfill(response=answer, body=json.dumps(body))

    desk.route("**/v1/models", with_coming)
    desk.reload()
    expect(desk.locator("#server-state")).to_have_text("4 models, 1 to come")
    open_panel(desk)
    panel = desk.get_by_role("dialog", name="Server")
    expect(panel).to_contain_text("Being exported: transformer: tracing")
    expect(panel).to_contain_text("Failed: <b>no memory</b>")


def test_a_server_without_models_says_so_until_they_come(
    desk: Page, server: PageServer, complaints: Complaints
) -> None:
    complaints.expected = ("status of 503",)

    def none(route: Route) -> None:
        error = {"message": "away", "type": "server_error", "param": None, "code": "service_unavailable"}
        route.fulfill(status=503, json={"error": error})

    desk.route("**/v1/models", none)
    desk.reload()
    expect(desk.get_by_text("No model is served yet.")).to_be_visible()
    expect(desk.locator("#server-state")).to_have_text("No model")
    expect(desk.get_by_role("button", name="Generate")).to_be_disabled()
    desk.unroute("**/v1/models")
    expect(desk.locator("#server-state")).to_have_text("4 models")
    choose_model(desk, "toy-wan-t2v")
    expect(desk.get_by_role("button", name="Generate")).to_be_enabled()
