"""`tritonreel video` and `tritonreel image` against a real server."""

import json
from pathlib import Path

import av
import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from frontend.app import create_app
from frontend.settings import Settings
from protocol.errors import ModelFailed
from protocol.sampling import AnySpec, WanSpec
from tests.cli.conftest import Run
from tests.frontend.conftest import NOWHERE, serving_app
from tests.frontend.fake_generator import FakeGenerator

CLEARS_THE_SCREEN = "\x1b[2J"


@pytest.fixture
def photo(folder: Path) -> Path:
    path = folder / "photo.png"
    Image.new("RGB", (64, 48), "red").save(path)
    return path


def frames_of(path: Path) -> int:
    with av.open(path) as container:
        return len(list(container.decode(video=0)))


def only_job(generator: FakeGenerator) -> AnySpec:
    (job,) = generator.jobs.values()
    return job


def test_a_video_with_every_option(url: str, run: Run, generator: FakeGenerator, folder: Path) -> None:
    done = run(
        *("video", "a red circle", "-o", "circle.mp4", "--model", "toy-wan-t2v", "--size", "32x16", "--frames", "5"),
        *("--fps", "4", "--steps", "2", "--guidance", "5", "--guidance-2", "2.5", "--guidance-rescale", "0.5"),
        *("--flow-shift", "3", "--boundary-ratio", "0.5", "--negative", "blurry", "--seed", "7", "--solver", "euler"),
        *("--lora", "ink:0.8"),
    )

    assert (done.exit_code, done.stdout) == (0, "circle.mp4: 32x16, 5 frames at 4 fps, toy-wan-t2v, seed 7\n")
    assert frames_of(folder / "circle.mp4") == 5
    job = only_job(generator)
    assert isinstance(job, WanSpec)
    assert (job.prompt, job.negative_prompt, job.seed, job.solver) == ("a red circle", "blurry", 7, "euler")
    assert (job.width, job.height, job.num_frames, job.num_inference_steps) == (32, 16, 5, 2)
    assert (job.guidance_scale, job.guidance_scale_2, job.guidance_rescale) == (5, 2.5, 0.5)
    assert (job.flow_shift, job.boundary_ratio) == (3, 0.5)
    assert [(lora.name, lora.scale) for lora in job.lora] == [("ink", 0.8)]


def test_a_video_is_named_by_its_prompt_and_seed(url: str, run: Run, folder: Path) -> None:
    run("video", "A red circle / moves: right!", "--seed", "7")
    run("video", "A red circle / moves: right!", "--seed", "7")

    assert sorted(path.name for path in folder.iterdir()) == [
        "a-red-circle-moves-right-7-2.mp4",
        "a-red-circle-moves-right-7.mp4",
    ]


def test_several_videos_are_numbered_and_nothing_is_overwritten(url: str, run: Run, folder: Path) -> None:
    (folder / "clip-2.mp4").write_text("mine")

    done = run("video", "x", "-n", "2", "--seed", "7", "-o", "clip.mp4")

    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["clip-1.mp4", "clip-2-2.mp4"]
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["7", "8"]
    assert (folder / "clip-2.mp4").read_text() == "mine"


def test_a_device_takes_the_file_as_it_is(url: str, run: Run, folder: Path) -> None:
    (folder / "sink").symlink_to("/dev/null")

    assert run("video", "x", "-o", "sink").exit_code == 0
    several = run("video", "x", "-n", "2", "-o", "sink")

    assert (several.exit_code, "leave out -n" in several.stderr) == (2, True)
    assert [path.name for path in folder.iterdir()] == ["sink"]
    assert Path("/dev/null").is_char_device()


def test_a_disk_that_is_full_leaves_no_part_of_a_file(url: str, run: Run, folder: Path) -> None:
    (folder / "full").symlink_to("/dev/full")

    done = run("video", "x", "-o", "full")

    assert (done.exit_code, "'full' cannot be written: No space left on device" in done.stderr) == (1, True)
    assert Path("/dev/full").is_char_device()


def test_a_video_from_an_image(url: str, run: Run, generator: FakeGenerator, photo: Path, folder: Path) -> None:
    done = run("video", "it moves right", "--image", photo, "--seed", "7", "-o", folder)

    assert done.exit_code == 0, done.stderr
    assert frames_of(folder / "it-moves-right-7.mp4") == 9
    job = only_job(generator)
    assert job.image is not None
    assert job.image.shape == (48, 64, 3)


def test_stdout_gets_the_file_and_nothing_else(url: str, run: Run, folder: Path) -> None:
    done = run("video", "x", "-o", "-")

    assert done.exit_code == 0, done.stderr
    assert done.stdout_bytes[4:8] == b"ftyp"
    assert list(folder.iterdir()) == []


def test_the_job_for_programs(url: str, run: Run) -> None:
    done = run("video", "x", "--json", "--seed", "7")

    job = json.loads(done.stdout)
    assert (job["object"], job["kind"], job["status"], job["prompt"]) == ("job", "video", "completed", "x")
    assert [file["seed"] for file in job["files"]] == [7]


def test_an_image_in_the_format_that_its_name_has(url: str, run: Run, generator: FakeGenerator, folder: Path) -> None:
    done = run("image", "a red circle", "-o", "circle.webp", "--seed", "7", "--size", "32x16", "--guidance", "3")

    assert (done.exit_code, done.stdout) == (0, "circle.webp: 32x16, toy-qwen-image, seed 7\n")
    with Image.open(folder / "circle.webp") as image:
        assert (image.format, image.size) == ("WEBP", (32, 16))
    assert only_job(generator).model_dump()["true_cfg_scale"] == 3


def test_images_in_a_folder(url: str, run: Run, folder: Path) -> None:
    done = run("image", "x", "-n", "2", "--seed", "7", "-o", folder)

    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["x-7-1.png", "x-7-2.png"]


def test_what_the_server_refuses_is_said_as_it_says_it(url: str, run: Run, folder: Path) -> None:
    done = run("video", "x", "--size", "33x16")
    said = httpx.post(f"{url}/v1/videos/generations", json={"prompt": "x", "size": "33x16"}).json()["error"]

    assert done.exit_code == 1
    assert said["message"] in done.stderr
    assert said["param"] in done.stderr
    assert list(folder.iterdir()) == []


def test_a_job_that_fails(url: str, run: Run, generator: FakeGenerator, folder: Path) -> None:
    generator.error_for = lambda spec: ModelFailed(f"the transformer {CLEARS_THE_SCREEN} fell over")

    done = run("video", "x", "-o", "clip.mp4")

    assert done.exit_code == 1
    assert "Error: " in done.stderr
    assert "\x1b" not in done.output
    assert list(folder.iterdir()) == []


def test_hostile_text_does_not_reach_the_terminal(url: str, run: Run, generator: FakeGenerator) -> None:
    generator.warnings = (f"a warning {CLEARS_THE_SCREEN}\u202e",)

    done = run("video", f"a {CLEARS_THE_SCREEN} circle", "--seed", "7")

    assert done.exit_code == 0
    assert "\x1b" not in done.output
    assert "\u202e" not in done.output
    assert r"a warning \x1b[2J\u202e" in done.stderr
    assert done.stdout.startswith("a-2j-circle-7.mp4: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--steps", "0"), "--steps"),
        (("--solver", "heun"), "--solver"),
        (("-o", "nowhere/clip.mp4"), "there is no folder 'nowhere'"),
        (("-o", "-", "-n", "2"), "stdout takes one file"),
        (("-o", "-", "--json"), "leave out --json"),
        (("--image", "nothing.png"), "cannot be read"),
        (("--lora", ":0.5"), "NAME:SCALE"),
        (("--url", "ftp://127.0.0.1"), "must be like http://127.0.0.1:8000"),
        (("--sedd", "3"), "No such option"),
    ],
)
def test_wrong_usage_makes_no_job(
    url: str, run: Run, generator: FakeGenerator, arguments: tuple[str, ...], said: str
) -> None:
    done = run("video", "x", *arguments)

    assert done.exit_code == 2
    assert said in done.stderr
    assert not generator.jobs


def test_no_server(run: Run) -> None:
    done = run("video", "x", "--url", NOWHERE.removesuffix("/metrics"))

    assert (done.exit_code, done.stdout) == (1, "")
    assert "no server answers at http://127.0.0.1:9" in done.stderr


def test_the_key_comes_from_the_environment(
    run: Run, generator: FakeGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "the-key-of-the-server"
    settings = Settings(triton_metrics_url=NOWHERE, keys_file=tmp_path / "none.json", api_key=SecretStr(key))
    with serving_app(create_app(settings, generator)) as url:
        without = run("video", "x", "--url", url)
        monkeypatch.setenv("TRITONREEL_API_KEY", key)
        with_key = run("video", "x", "--url", url)

    assert (without.exit_code, with_key.exit_code) == (1, 0)
    assert "set TRITONREEL_API_KEY" in without.stderr
    assert key not in with_key.output
