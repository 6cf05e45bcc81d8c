"""One file, and what is made of it."""

import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Dialog, Page, expect

from protocol.sampling import WanSpec
from tests.page.other_files import png
from tests.page.page_server import PageServer
from tests.page.parts import cards, downloaded, fits, open_more, open_tile, overlap, tiles, wait_for

EVERYTHING: dict[str, Any] = {
    "model": "toy-wan-t2v",
    "negative_prompt": "blurry",
    "width": 80,
    "height": 48,
    "num_frames": 17,
    "fps": 12,
    "num_inference_steps": 5,
    "guidance_scale": 5.0,
    "guidance_scale_2": 2.5,
    "guidance_rescale": 0.25,
    "flow_shift": 3.5,
    "boundary_ratio": 0.5,
    "solver": "euler",
    "seed": 2**53 + 1,
    "lora": [{"name": "ink", "scale": 0.5}],
}


def test_all_parameters_are_told(page: Page, server: PageServer) -> None:
    server.make("with everything", **EVERYTHING)
    dialog = open_tile(page)
    expect(dialog).to_contain_text("with everything")
    facts = dialog.locator("dl").inner_text()
    told = ("80 \u00d7 48", "1.4 s, 17 frames at 12 fps", str(2**53 + 1), "blurry", "Euler", "ink at 0.5")
    for fact in (*told, "5", "2.5", "0.25", "3.5"):
        assert fact in facts, fact
    wait_for(page, "document.querySelector('dialog video').currentTime > 0")
    assert fits(page)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_download_gives_the_file(desk: Page, server: PageServer, tmp_path: Path) -> None:
    job = server.make("to keep")
    dialog = open_tile(desk)
    path = downloaded(desk, dialog.get_by_role("link", name="Download"), tmp_path)
    assert path.name == f"{job['id']}.mp4"
    assert path.read_bytes() == httpx.get(job["files"][0]["url"]).content


def test_a_remix_is_the_same_but_for_the_seed(page: Page, server: PageServer) -> None:
    original = server.make("again", **EVERYTHING)
    open_tile(page).get_by_role("button", name="Remix").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("again")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("")
    page.get_by_role("button", name="Generate").click()
    expect(tiles(page)).to_have_count(2)
    remixed = server.jobs()[0]
    assert remixed["params"] == original["params"]
    assert remixed["files"][0]["seed"] != original["files"][0]["seed"]
    same = ("prompt", "model", "size", "num_frames", "fps", "lora")
    assert {name: remixed[name] for name in same} == {name: original[name] for name in same}


def test_the_remix_of_a_video_from_an_image_starts_from_its_first_frame(desk: Page, server: PageServer) -> None:
    first = httpx.post(
        f"{server.url}/v1/videos",
        data={"prompt": "from an image", "model": "toy-wan-i2v"},
        files={"input_reference": ("start.png", png(), "image/png")},
    )
    assert first.status_code == 200, first.text
    open_tile(desk).get_by_role("button", name="Remix").click()
    expect(desk.locator(".image-words")).to_have_text("first frame.png")
    desk.get_by_role("button", name="Generate").click()
    expect(tiles(desk)).to_have_count(2)
    made = list(server.generator.jobs.values())[-1]
    assert isinstance(made, WanSpec)
    assert made.image is not None
    assert made.image.max() < 40  # the generator's first frame is black


def test_the_last_frame_becomes_an_image_to_start_from(page: Page, server: PageServer) -> None:
    server.make("to go on", num_frames=161, num_inference_steps=1)
    open_tile(page).get_by_role("button", name="Use last frame").click()
    expect(page.locator(".image-words")).to_have_text("last frame.png")
    expect(page.locator("#model")).not_to_have_value("toy-wan-t2v")
    page.get_by_label("Prompt", exact=True).fill("it goes on")
    page.get_by_role("button", name="Generate").click()
    expect(tiles(page)).to_have_count(2)
    made = list(server.generator.jobs.values())[-1]
    assert made.image is not None
    assert abs(int(np.median(made.image)) - 160) < 12  # the generator's frames are as bright as they are late


def test_a_video_is_extended(page: Page, server: PageServer) -> None:
    original = server.make("a beginning")
    dialog = open_tile(page)
    dialog.get_by_role("button", name="Extend").click()
    assert not overlap(dialog.locator(".stage video"), dialog.locator(".detail-words"))
    dialog.get_by_label("How it goes on").fill("and an end")
    dialog.get_by_label("Seconds to add").fill("1")
    dialog.get_by_role("button", name="Make it longer").click()
    expect(dialog).to_be_hidden()
    expect(tiles(page)).to_have_count(2)
    longer = server.jobs()[0]
    assert longer["prompt"] == "and an end"
    assert longer["num_frames"] > original["num_frames"]


def test_deletion_is_confirmed(page: Page, server: PageServer) -> None:
    job = server.make("to forget")
    dialog = open_tile(page)
    dialog.get_by_role("button", name="Delete").click()
    question = page.get_by_role("dialog", name="Delete the video?")
    expect(question.get_by_role("button", name="Keep it")).to_be_focused()
    question.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_visible()
    assert server.jobs()[0]["id"] == job["id"]
    dialog.get_by_role("button", name="Delete").click()
    question.get_by_role("button", name="Delete").click()
    expect(tiles(page)).to_have_count(0)
    expect(dialog).to_be_hidden()
    expect(page.get_by_text("Nothing made yet")).to_be_visible()
    assert server.jobs() == []


@pytest.mark.parametrize("kind", ["videos", "images"])
def test_text_of_others_stays_text(page: Page, server: PageServer, kind: str) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    dialogs: list[Dialog] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog))
    server.generator.step_gate.clear()
    page.get_by_label("Prompt", exact=True).fill(hostile)
    if kind == "images":
        page.locator("#model").select_option("toy-qwen-image")
    page.get_by_role("button", name="Generate").click()
    expect(cards(page).get_by_text(hostile)).to_be_visible()
    server.generator.step_gate.set()
    expect(tiles(page).get_by_text(hostile)).to_be_visible()
    dialog = open_tile(page)
    expect(dialog.get_by_text(hostile)).to_be_visible()
    dialog.get_by_role("button", name="As code").click()
    expect(page.get_by_role("dialog", name="As code").get_by_text(re.escape(hostile[:20]))).to_have_count(0)
    expect(page.get_by_role("dialog", name="As code")).to_contain_text("<img src=x onerror=alert(1)>")
    assert dialogs == []
    assert page.locator("img[src=x]").count() == 0


def test_an_image_becomes_one_to_start_from(desk: Page, server: PageServer) -> None:
    server.make("an image", "images")
    dialog = open_tile(desk)
    expect(dialog.get_by_role("button", name="Extend")).to_have_count(0)
    dialog.get_by_role("button", name="Use as image").click()
    expect(desk.locator(".image-field img")).to_be_visible()
    open_more(desk)
    expect(desk.get_by_label("As the image")).to_be_checked()
