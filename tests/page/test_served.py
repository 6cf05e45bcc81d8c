"""The page at real servers: of the trained toy, and of one model of each kind."""

import io
import time
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.conftest import ONE_OF_EACH_FAMILY, Exported
from tests.page.conftest import DESK, Complaints
from tests.page.other_files import png
from tests.page.parts import choose_model, generate, open_more, tiles, wait_for
from tests.server.running_server import RunningServer
from tests.waiting import SECONDS


@pytest.fixture(scope="module")
def toy_url(toy: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RunningServer(toy.repository, tmp_path_factory.mktemp("toy")) as running:
        yield running.url


@pytest.fixture(scope="module")
def families_url(tiny: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    exported = [tiny(layout) for layout in ONE_OF_EACH_FAMILY]
    with RunningServer(exported[0].repository, tmp_path_factory.mktemp("families")) as running:
        yield running.url


@pytest.fixture
def opened(browser: Browser, complaints: Complaints) -> Iterator[Page]:
    page = browser.new_page(viewport=DESK)
    page.set_default_timeout(1000 * SECONDS)
    complaints.listen(page)
    yield page
    page.close()


def test_the_first_video_is_two_clicks_away(opened: Page, toy_url: str) -> None:
    began = time.monotonic()
    opened.goto(toy_url)
    opened.get_by_role("button", name="a red circle moving right on a black background").click()
    opened.get_by_role("button", name="Generate").click()
    expect(tiles(opened)).to_have_count(1, timeout=1000 * SECONDS)
    tiles(opened).get_by_role("button").hover()
    wait_for(opened, "document.querySelector('#tiles video')?.currentTime > 0")
    print(f"{time.monotonic() - began:.1f} s to the first video")
    (job,) = httpx.get(f"{toy_url}/v1/jobs").json()["data"]
    thumbnail = Image.open(io.BytesIO(httpx.get(job["files"][0]["thumbnail_url"]).content)).convert("RGB")
    red, green, blue = np.asarray(thumbnail, np.int64).reshape(-1, 3).T
    assert ((red > 120) & (green < 90) & (blue < 90)).mean() > 0.03  # there is something red


@pytest.mark.parametrize(
    ("layout", "has_image", "task", "kind"),
    [
        ("two-experts", False, "text-to-video", "video"),
        ("i2v", True, "image-to-video", "video"),
        ("ti2v", False, "text-to-video", "video"),
        ("ti2v", True, "image-to-video", "video"),
        ("qwen-image", False, "text-to-image", "image"),
    ],
)
def test_every_kind_is_made(
    opened: Page,
    families_url: str,
    tiny: Callable[[str], Exported],
    layout: str,
    has_image: bool,
    task: str,
    kind: str,
) -> None:
    opened.goto(families_url)
    model = tiny(layout).model
    choose_model(opened, model)
    if has_image:
        opened.locator("#image").set_input_files({"name": "start.png", "mimeType": "image/png", "buffer": png(64, 64)})
        expect(opened.locator(".image-field img")).to_be_visible()
    open_more(opened)
    opened.get_by_label("Steps").fill("2")
    prompt = f"{task} by {model}"
    generate(opened, prompt)
    expect(tiles(opened).filter(has_text=prompt)).to_have_count(1, timeout=1000 * SECONDS)
    job = httpx.get(f"{families_url}/v1/jobs", params={"limit": 1}).json()["data"][0]
    told = (job["prompt"], job["model"], job["task"], job["kind"], job["status"])
    assert told == (prompt, model, task, kind, "completed")
    assert job["params"]["num_inference_steps"] == 2
