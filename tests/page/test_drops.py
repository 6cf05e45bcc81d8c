"""Files that are dropped on the page."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Complaints
from tests.page.other_files import png
from tests.page.page_server import PageServer
from tests.page.parts import choose_model, drop, notice, tiles
from tests.page.test_detail import EVERYTHING

HOSTILE_NAME = "<img src=x onerror=alert(1)>.mp4"
IMAGE = {
    "model": "toy-qwen-image",
    "negative_prompt": "text",
    "size": "80x48",
    "num_inference_steps": 2,
    "true_cfg_scale": 2.5,
    "guidance_rescale": 0.5,
    "seed": 2**62 + 3,
}


def telling(parameters: str) -> bytes:
    """The beginning of a PNG with parameters."""
    text = b"tritonreel\0\0\0\0\0" + parameters.encode()
    return b"\x89PNG\r\n\x1a\n" + len(text).to_bytes(4) + b"iTXt" + text + b"xxxx"


@pytest.mark.parametrize(("kind", "fields"), [("videos", EVERYTHING), ("images", IMAGE)])
def test_a_file_made_here_restores_everything(
    page: Page, server: PageServer, kind: str, fields: dict[str, Any]
) -> None:
    original = server.make("as it was \u2013 \u00e9", kind, **fields)
    content = httpx.get(original["files"][0]["url"]).content
    choose_model(page, "toy-wan-i2v")
    drop(page, "kept.mp4" if kind == "videos" else "kept.png", content, original["files"][0]["media_type"])
    expect(notice(page, "restored")).to_be_visible()
    expect(page.get_by_label("Seed", exact=True)).to_have_value(str(fields["seed"]))
    page.get_by_role("button", name="Generate").click()
    expect(tiles(page)).to_have_count(2)
    again = server.jobs()[0]
    assert again["id"] != original["id"]
    same = ("prompt", "model", "size", "num_frames", "fps", "lora", "params")
    assert {name: again[name] for name in same} == {name: original[name] for name in same}
    assert again["files"][0]["seed"] == original["files"][0]["seed"]
    assert httpx.get(again["files"][0]["url"]).content == content  # the same bytes


def test_the_parameters_of_a_model_that_is_not_served_are_kept(desk: Page, server: PageServer) -> None:
    original = server.make("elsewhere", seed=7, num_inference_steps=2)
    content = httpx.get(original["files"][0]["url"]).content
    choose_model(desk, None)
    drop(desk, "other.mp4", content.replace(b'"toy-wan-t2v"', b'"toy-xyz-t2v"'), "video/mp4")
    expect(notice(desk, "toy-xyz-t2v is not served here")).to_be_visible()
    expect(desk.get_by_label("Prompt", exact=True)).to_have_value("elsewhere")
    expect(desk.get_by_label("Steps")).to_have_value("2")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no video",
        b"\0\0\0\x08moov" * 4,
        b"\0\0\0\x10moov\0\0\0\x01udta",
        b"\xff\xff\xff\xffmoov\0\0\0\x09udtam",
        b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\x00moov",
        b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffiTXttritonreel\0",
        b"\x89PNG\r\n\x1a\n\0\0\0\x1ciTXttritonreel\0\0\0\0\0[1, 2, 3, 4]xxxx",
        telling('{"tritonreel": "1", "prompt": {"a": 1}}'),
        telling('{"tritonreel": "1", "prompt": "x", "lora": [null]}'),
        telling('{"tritonreel": "1", "prompt": "x", "lora": [{"name": {"a": 1}}]}'),
        telling('{"tritonreel": "1", "prompt": "x", "lora": "ink"}'),
    ],
)
def test_damaged_files_are_refused_with_their_names_as_text(desk: Page, server: PageServer, content: bytes) -> None:
    choose_model(desk, None)
    drop(desk, HOSTILE_NAME, content, "video/mp4")
    expect(notice(desk, f"{HOSTILE_NAME} is neither an image nor")).to_be_visible()
    assert desk.locator("img[src=x]").count() == 0
    expect(desk.locator("#drop-hint")).to_be_hidden()


def test_another_programs_image_with_a_hostile_name_is_what_a_video_starts_from(
    desk: Page, server: PageServer, complaints: Complaints
) -> None:
    choose_model(desk, "toy-wan-ti2v")
    name = "<img src=x onerror=alert(1)>.png"
    drop(desk, name, png(), "image/png")
    expect(desk.locator(".image-words")).to_have_text(name)
    expect(desk.locator(".image-field img")).to_be_visible()
    assert desk.locator("img[src=x]").count() == 0
