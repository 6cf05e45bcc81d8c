"""What the form sends is what a person chose in it."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from protocol.errors import ModelFailed
from protocol.sampling import QwenImageSpec, WanSpec
from tests.page.conftest import Complaints
from tests.page.other_files import png
from tests.page.page_server import PageServer
from tests.page.parts import cards, choose_model, drop, fits, generate, notice, open_more, tiles
from tests.waiting import SECONDS


def spec(server: PageServer) -> WanSpec | QwenImageSpec:
    """Of the job that was made last."""
    return list(server.generator.jobs.values())[-1]


def test_who_comes_first_makes_a_video_with_two_clicks(page: Page, server: PageServer) -> None:
    expect(page.get_by_text("Nothing made yet")).to_be_visible()
    assert fits(page)
    page.get_by_role("button", name="a red circle moving right on a black background").click()
    page.get_by_role("button", name="Generate").click()
    expect(tiles(page)).to_have_count(1)
    expect(page.get_by_text("Nothing made yet")).to_be_hidden()
    (job,) = server.jobs()
    assert job["prompt"] == "a red circle moving right on a black background"
    assert (job["model"], job["kind"], job["status"]) == ("toy-wan-t2v", "video", "completed")
    assert fits(page)


def test_the_keyboard_alone_makes_one(page: Page, server: PageServer) -> None:
    choose_model(page, None)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the prompt")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.type("a blue square")
    page.keyboard.press("Tab")
    expect(page.locator("#model")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # opens "More"
    expect(page.locator("#negative_prompt")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("red")
    page.get_by_role("button", name="Generate").focus()
    page.keyboard.press("Enter")
    expect(tiles(page)).to_have_count(1)
    assert (spec(server).prompt, spec(server).negative_prompt) == ("a blue square", "red")
    page.locator("#prompt").focus()
    page.keyboard.press("Control+Enter")
    expect(tiles(page)).to_have_count(2)


def test_what_is_left_alone_is_the_models_own(desk: Page, server: PageServer) -> None:
    with desk.expect_request("**/v1/videos") as sent:
        generate(desk, "plain")
    assert sent.value.post_data_json == {"model": "toy-wan-t2v", "prompt": "plain"}
    assert sent.value.headers["prefer"] == "respond-async"
    expect(tiles(desk)).to_have_count(1)


def test_every_field_arrives(page: Page, server: PageServer) -> None:
    choose_model(page, "toy-wan-t2v")
    open_more(page)
    page.get_by_label("Negative prompt").fill("blurry")
    page.locator("input[name=size][value=custom]").check()
    page.get_by_label("Width").fill("96")
    page.get_by_label("Height").fill("80")
    page.get_by_label("Length").fill("3")
    for label, value in {
        "Steps": 7,
        "Guidance, high noise": 5.5,
        "Guidance, low noise": 2,
        "Guidance rescale": 0.5,
        "Flow shift": 3,
        "Expert boundary": 0.9,
        "Frames per second": 12,
        "How many": 2,
        "Seed": 9007199254740993,  # more digits than a JavaScript number has
    }.items():
        page.get_by_label(label, exact=True).fill(str(value))
    page.get_by_label("Solver").select_option("euler")
    page.get_by_label("ink", exact=True).check()
    page.get_by_label("Strength of ink").fill("0.5")
    generate(page, "everything")
    expect(tiles(page)).to_have_count(2)
    made = spec(server)
    assert isinstance(made, WanSpec)
    expected = {
        "prompt": "everything",
        "negative_prompt": "blurry",
        "width": 96,
        "height": 80,
        "num_frames": 13,
        "num_inference_steps": 7,
        "guidance_scale": 5.5,
        "guidance_scale_2": 2.0,
        "guidance_rescale": 0.5,
        "flow_shift": 3.0,
        "boundary_ratio": 0.9,
        "solver": "euler",
        "lora": ({"name": "ink", "path": None, "high": None, "low": None, "scale": 0.5},),
    }
    assert made.model_dump(include=set(expected)) == expected
    seeds = sorted(one.seed for one in list(server.generator.jobs.values())[-2:])
    assert seeds == [9007199254740993, 9007199254740994]
    (job,) = server.jobs()
    assert job["fps"] == 12


def test_one_guidance_of_two_brings_the_other(desk: Page, server: PageServer) -> None:
    choose_model(desk, None)
    open_more(desk)
    desk.get_by_label("Guidance, high noise").fill("6")
    generate(desk, "guided")
    expect(tiles(desk)).to_have_count(1)
    made = spec(server)
    assert isinstance(made, WanSpec)
    assert (made.guidance_scale, made.guidance_scale_2) == (6.0, 3.0)


def test_a_preset_is_of_the_models_area_and_multiple(desk: Page, server: PageServer) -> None:
    choose_model(desk, None)
    open_more(desk)
    desk.get_by_label("9:16").check(force=True)
    generate(desk, "tall")
    expect(tiles(desk)).to_have_count(1)
    made = spec(server)
    assert (made.width, made.height) == (48, 80) or made.height > made.width
    assert made.width % 16 == made.height % 16 == 0


@pytest.mark.parametrize("model", ["toy-wan-i2v", "toy-wan-ti2v"])
def test_a_video_starts_from_a_chosen_image_in_its_aspect(page: Page, server: PageServer, model: str) -> None:
    choose_model(page, model)
    page.locator("#image").set_input_files({"name": "start.png", "mimeType": "image/png", "buffer": png()})
    expect(page.locator(".image-field img")).to_be_visible()
    generate(page, "it moves", model)
    expect(tiles(page)).to_have_count(1)
    made = spec(server)
    assert made.image is not None
    assert made.width > made.height
    assert server.jobs()[0]["task"] == "image-to-video"


def test_an_image_can_be_dropped_or_pasted_and_brings_a_model_that_takes_it(desk: Page, server: PageServer) -> None:
    choose_model(desk, "toy-wan-t2v")
    drop(desk, "dropped.png", png(), "image/png")
    expect(desk.locator("#model")).not_to_have_value("toy-wan-t2v")
    expect(desk.locator(".image-words")).to_have_text("dropped.png")
    desk.get_by_role("button", name="Remove the image").click()
    expect(desk.locator(".image-field img")).to_be_hidden()
    desk.evaluate(
        """(content) => {
            const data = new DataTransfer();
            const bytes = Uint8Array.from(content);
            data.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
            document.querySelector("#prompt").dispatchEvent(
                new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
        }""",
        list(png()),
    )
    expect(desk.locator(".image-words")).to_have_text("pasted.png")


def test_a_model_that_needs_an_image_asks_for_one(desk: Page, server: PageServer) -> None:
    generate(desk, "it moves", "toy-wan-i2v")
    expect(desk.get_by_role("alert")).to_have_text("This model starts from an image: choose one.")
    assert server.jobs() == []


def test_images_are_made(desk: Page, server: PageServer) -> None:
    choose_model(desk, "toy-qwen-image")
    open_more(desk)
    expect(desk.get_by_label("Length")).to_be_hidden()
    expect(desk.get_by_label("Solver")).to_be_hidden()  # there is one
    expect(desk.locator(".image-field")).to_be_hidden()
    desk.locator("#true_cfg_scale").fill("2.5")
    generate(desk, "a green triangle")
    expect(tiles(desk)).to_have_count(1)
    made = spec(server)
    assert isinstance(made, QwenImageSpec)
    assert made.true_cfg_scale == 2.5
    assert server.jobs()[0]["kind"] == "image"


def test_the_dice_draws_a_seed(desk: Page, server: PageServer) -> None:
    choose_model(desk, None)
    open_more(desk)
    desk.get_by_role("button", name="Draw a seed").click()
    seed = desk.get_by_label("Seed", exact=True).input_value()
    assert seed.isdecimal()
    generate(desk, "seeded")
    expect(tiles(desk)).to_have_count(1)
    assert spec(server).seed == int(seed)


def test_what_the_server_refuses_is_said_beside_the_field(
    desk: Page, server: PageServer, complaints: Complaints
) -> None:
    complaints.expected = ("status of 4",)
    choose_model(desk, None)
    open_more(desk)
    desk.get_by_label("Steps").fill("900")
    generate(desk, "too much")
    expect(desk.get_by_role("alert")).to_have_text("num_inference_steps must be at most 200, got 900")
    expect(desk.get_by_label("Steps")).to_have_attribute("aria-invalid", "true")
    expect(desk.get_by_label("Steps")).to_be_focused()
    desk.get_by_label("Steps").fill("2")
    desk.get_by_role("button", name="Generate").click()
    expect(tiles(desk)).to_have_count(1)
    expect(desk.get_by_role("alert")).to_have_text("")


def test_an_empty_prompt_is_not_sent(desk: Page, server: PageServer) -> None:
    generate(desk, "   ")
    expect(desk.get_by_role("alert")).to_have_text("Write what should be seen.")
    expect(desk.locator("#prompt")).to_be_focused()
    assert server.jobs() == []


def test_a_job_that_fails_says_why_and_can_be_made_again(page: Page, server: PageServer) -> None:
    server.generator.error_for = lambda params: ModelFailed("the transformer is out of memory")
    choose_model(page, None)
    open_more(page)
    page.get_by_label("Steps").fill("5")
    generate(page, "unlucky")
    expect(cards(page)).to_contain_text("Failed")
    expect(cards(page)).to_contain_text(re.compile("."))
    server.generator.error_for = lambda params: None
    page.get_by_label("Prompt", exact=True).fill("something else")
    cards(page).get_by_role("button", name="Edit and retry").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("unlucky")
    expect(page.get_by_label("Steps")).to_have_value("5")
    page.get_by_role("button", name="Generate").click()
    expect(tiles(page)).to_have_count(1)
    expect(cards(page)).to_have_count(0)


@pytest.mark.parametrize("language", ["curl", "Python"])
@pytest.mark.parametrize(
    ("model", "file", "start"),
    [
        ("toy-wan-t2v", "video.mp4", b"ftyp"),
        ("toy-wan-i2v", "video.mp4", b"ftyp"),
        ("toy-qwen-image", "image.png", b"PNG"),
    ],
)
def test_the_code_that_is_copied_runs(
    desk: Page, server: PageServer, tmp_path: Path, language: str, model: str, file: str, start: bytes
) -> None:
    prompt = """it's "quoted", $HOME `date` \\ done"""
    choose_model(desk, model)
    if model == "toy-wan-i2v":
        desk.locator("#image").set_input_files({"name": "start.png", "mimeType": "image/png", "buffer": png()})
    desk.get_by_label("Prompt", exact=True).fill(prompt)
    open_more(desk)
    desk.get_by_label("Steps").fill("4")
    desk.get_by_label("Seed", exact=True).fill("12")
    desk.get_by_role("button", name="Copy as curl or Python").click()
    dialog = desk.get_by_role("dialog", name="As code")
    dialog.get_by_label(language).check(force=True)
    dialog.get_by_role("button", name="Copy").click()
    expect(notice(desk, "Copied")).to_be_visible()
    code = desk.evaluate("navigator.clipboard.readText()")
    (tmp_path / "image.png").write_bytes(png())
    command = (
        ["bash", "-c", code.replace("python3", shlex.quote(sys.executable))]
        if language == "curl"
        else [sys.executable, "-c", code]
    )
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    assert start in (tmp_path / file).read_bytes()[:12]
    made = spec(server)
    assert (made.prompt, made.num_inference_steps, made.seed) == (prompt, 4, 12)
