"""The example clients, run as a person runs them, against a real HTTP server."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from fastapi import FastAPI
from PIL import Image

import frontend
from frontend.app import create_app
from frontend.errors import EngineUnavailable
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve
from tests.frontend.fake_generator import FakeGenerator, of_all_kinds
from tests.frontend.test_video_request import only_job

pytestmark = pytest.mark.slow

EXAMPLES = Path(frontend.__file__).parent / "examples"
NOBODY = NOWHERE.removesuffix("/metrics")
ENVIRONMENT = os.environ | {"NO_PROXY": "127.0.0.1"}
ENVIRONMENT.pop("TRITONREEL_API_KEY", None)
KEY = "a-key-for-a-container"


@pytest.fixture
def generator() -> FakeGenerator:
    return of_all_kinds("ink")


@pytest.fixture
def url(serve: Serve, app: FastAPI) -> Iterator[str]:
    with serve(app) as url:
        yield url


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (64, 48), "red").save(path)
    return path


def run(folder: Path, script: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The finished program, run in `folder`."""
    command = [sys.executable, EXAMPLES / script, *arguments]
    environment = ENVIRONMENT | environment
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def frames_of(path: Path) -> int:
    with av.open(path) as container:
        return len(list(container.decode(video=0)))


# generate_image.py


def test_an_image_with_every_option(url: str, generator: FakeGenerator, tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "generate_image.py",
        *("--prompt", "a red circle", "--negative-prompt", "blurry", "--output", "circle.webp", "--seed", "7"),
        *("--steps", "2", "--size", "32x16", "--model", "toy-qwen-image", "--url", f"{url}/"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "circle.webp: 32x16, toy-qwen-image, seed 7\n"
    job = only_job(generator)
    assert (job.prompt, job.negative_prompt, job.seed) == ("a red circle", "blurry", 7)
    assert (job.num_inference_steps, job.width, job.height) == (2, 32, 16)
    with Image.open(tmp_path / "circle.webp") as image:
        assert image.format == "WEBP"


def test_several_images_are_numbered(url: str, tmp_path: Path) -> None:
    done = run(tmp_path, "generate_image.py", "--prompt", "x", "--n", "3", "--seed", "7", "--url", url)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image-1.png", "image-2.png", "image-3.png"]
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["7", "8", "9"]


# generate_video.py


def test_a_video_with_every_option(url: str, generator: FakeGenerator, tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "generate_video.py",
        *("--prompt", "a red circle", "--negative-prompt", "blurry", "--output", "circle.mp4", "--seed", "7"),
        *("--steps", "2", "--size", "32x16", "--seconds", "0.5", "--model", "toy-wan-t2v", "--url", f"{url}/"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "circle.mp4: 32x16, 5 frames at 8 a second, toy-wan-t2v, seed 7\n"
    job = only_job(generator)
    assert (job.prompt, job.negative_prompt, job.seed) == ("a red circle", "blurry", 7)
    assert (job.num_inference_steps, job.width, job.height, job.num_frames) == (2, 32, 16, 5)
    assert frames_of(tmp_path / "circle.mp4") == 5


def test_several_videos_from_an_image(url: str, generator: FakeGenerator, photo: Path, tmp_path: Path) -> None:
    done = run(
        tmp_path,
        *("generate_video.py", "--prompt", "it moves right", "--image", photo, "--n", "2", "--seed", "7"),
        *("--output", "video.mp4", "--url", url),
    )
    assert done.returncode == 0, done.stderr
    assert [frames_of(tmp_path / f"video-{i}.mp4") for i in (1, 2)] == [9, 9]
    assert [job.image is not None and job.image.shape for job in generator.jobs.values()] == [(48, 64, 3)] * 2


# openai_sdk.py


def test_the_sdk_makes_an_image(url: str, generator: FakeGenerator, tmp_path: Path) -> None:
    done = run(tmp_path, "openai_sdk.py", "images.generate", "--prompt", "x", "--seed", "7", "--url", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "image.png: 64x48\n"
    assert only_job(generator).seed == 7
    with Image.open(tmp_path / "image.png") as image:
        assert image.size == (64, 48)


@pytest.mark.parametrize("call", ["videos.create", "videos.create_and_poll"])
def test_the_sdk_makes_videos(url: str, generator: FakeGenerator, photo: Path, tmp_path: Path, call: str) -> None:
    done = run(tmp_path, "openai_sdk.py", call, "--prompt", "x", "--seed", "7", "--output", "a.mp4", "--url", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert only_job(generator).seed == 7
    assert frames_of(tmp_path / "a.mp4") == 9
    done = run(tmp_path, "openai_sdk.py", call, "--prompt", "x", "--image", photo, "--output", "b.mp4", "--url", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "toy-wan-i2v" in done.stdout
    assert frames_of(tmp_path / "b.mp4") == 9


# All three

PROGRAMS = [
    ("generate_image.py",),
    ("generate_video.py",),
    ("openai_sdk.py", "images.generate"),
    ("openai_sdk.py", "videos.create"),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_without_a_server_they_say_so(program: tuple[str, ...], tmp_path: Path) -> None:
    done = run(tmp_path, *program, "--prompt", "x", "--url", NOBODY)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"No answer from {NOBODY}: ")
    assert last.endswith("Is the server running?")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_the_servers_reason_is_shown(
    program: tuple[str, ...], url: str, generator: FakeGenerator, tmp_path: Path
) -> None:
    generator.error_for = lambda params: EngineUnavailable("Triton is away")
    done = run(tmp_path, *program, "--prompt", "x", "--url", url)
    assert done.returncode == 1
    assert "(503)" in done.stderr
    assert "Triton is away" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_they_send_the_key_of_the_environment(
    program: tuple[str, ...], serve: Serve, generator: FakeGenerator, tmp_path: Path
) -> None:
    settings = Settings.model_validate({"triton_metrics_url": NOWHERE, "api_key": KEY})
    with serve(create_app(settings, generator)) as url:
        done = run(tmp_path, *program, "--prompt", "x", "--url", url, OPENAI_API_KEY=KEY)
        assert done.returncode == 1
        assert "(401)" in done.stderr
        done = run(tmp_path, *program, "--prompt", "x", "--url", url, TRITONREEL_API_KEY=KEY)
        assert done.returncode == 0, done.stderr
    assert KEY not in done.stdout + done.stderr
    only_job(generator)


@pytest.mark.parametrize("script", ["generate_image.py", "generate_video.py", "openai_sdk.py"])
def test_help_teaches(script: str, tmp_path: Path) -> None:
    done = run(tmp_path, script, "--help")
    assert done.returncode == 0
    assert f"python frontend/examples/{script}" in done.stdout
    for option in ("--prompt", "--output", "--seed", "--model", "--url"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("generate_image.py", "--prompt", "x", "--output", "a.gif"), "--output must end in .png"),
        (("generate_image.py", "--prompt", "x", "--output", "no/a.png"), "there is no folder 'no'"),
        (("generate_image.py",), "--prompt"),
        (("generate_video.py", "--prompt", "x", "--output", "a.gif"), "--output must end in .mp4"),
        (("generate_video.py", "--prompt", "x", "--output", "no/a.mp4"), "there is no folder 'no'"),
        (("generate_video.py", "--prompt", "x", "--image", "no.png"), "there is no file 'no.png'"),
        (("openai_sdk.py", "videos.create", "--prompt", "x", "--image", "no.png"), "there is no file 'no.png'"),
    ],
)
def test_mistakes_are_found_before_anything_is_sent(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


# curl.md


def commands() -> list[str]:
    """The shell blocks of the page, in order."""
    return re.findall(r"```sh\n(.*?)```", (EXAMPLES / "curl.md").read_text(), re.DOTALL)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq")
@pytest.mark.parametrize("key", [None, KEY], ids=["open", "with a key"])
def test_curl(serve: Serve, generator: FakeGenerator, tmp_path: Path, key: str | None) -> None:
    script = "set -eu -o pipefail\n" + "".join(commands())
    settings = Settings.model_validate({"triton_metrics_url": NOWHERE, "api_key": key})
    with serve(create_app(settings, generator)) as url:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=ENVIRONMENT | {"URL": url} | ({"TRITONREEL_API_KEY": key} if key else {}),
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "image.png") as image:
        assert image.size == (64, 48)
    assert [frames_of(tmp_path / name) for name in ("video.mp4", "from-image.mp4", "again.mp4")] == [9, 9, 9]
    assert [frames_of(tmp_path / name) for name in ("sync.mp4", "remix.mp4", "longer.mp4")] == [9, 9, 17]
    assert [frames_of(tmp_path / name) for name in ("service.mp4", "service-longer.mp4")] == [9, 17]
    with Image.open(tmp_path / "by-url.png") as image:
        assert image.size == (64, 48)
    assert "event: video.completed\n" in done.stdout
    assert "event: job.completed\n" in done.stdout
    assert '"prompt": "a blue square"' in done.stdout
    assert '"task": "image-to-video"' in done.stdout
    assert json.loads((tmp_path / "video.json").read_text())["model"] == "toy-wan-i2v"
    assert "toy-qwen-image\n" in done.stdout
    assert "ink\n" in done.stdout
    assert "tritonreel_images_total 3.0" in done.stdout


PRELUDE, *USES = commands()
WITHOUT_TRITON = ("$URL/ ", "/health/live", "/metrics", "/v1/usage", "/v1/servers", "/v1/jobs?")
"""what is answered while Triton is away"""


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq")
@pytest.mark.parametrize("line", [line for use in USES for line in use.replace("\\\n", "").splitlines()])
def test_each_command_says_why_it_cannot_and_writes_no_file(
    line: str, serve: Serve, generator: FakeGenerator, tmp_path: Path
) -> None:
    """To a server that refuses the key, to one whose models are away, and to none."""
    folder = tmp_path / "folder"
    settings = Settings.model_validate({"triton_metrics_url": NOWHERE, "api_key": KEY})
    generator.describe_error = EngineUnavailable("Triton is away")

    def tried(url: str, key: str) -> subprocess.CompletedProcess[str]:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "video.json").write_text('{"id": "video_1", "error": null}')
        Image.new("RGB", (64, 48), "red").save(folder / "image.png")
        environment = ENVIRONMENT | {"URL": url, "TRITONREEL_API_KEY": key}
        return subprocess.run(
            ["bash", "-c", PRELUDE + line], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
        )

    with serve(create_app(settings, generator)) as url:
        if not any(route in line for route in ("/health", "$URL/ ")):
            refused = tried(url, "another")
            assert refused.returncode != 0, refused
            assert "API key" in refused.stdout + refused.stderr
            assert written(folder) == []
        if not any(route in line for route in WITHOUT_TRITON):
            away = tried(url, KEY)
            assert away.returncode != 0, away
            assert re.search("Triton is away|not found or expired", away.stdout + away.stderr)
            assert written(folder) == []
    gone = tried(NOBODY, KEY)
    assert gone.returncode != 0, gone
    assert "curl: (7)" in gone.stderr
    assert written(folder) == []


def written(folder: Path) -> list[str]:
    """Files beside those that were there; a `video.json` with the error in it is the answer."""
    return sorted(file.name for file in folder.iterdir() if file.name not in ("image.png", "video.json"))


def test_every_route_is_on_the_page(app: FastAPI) -> None:
    page = (EXAMPLES / "curl.md").read_text()
    routes = [re.sub(r"{.*?}", "{id}", path) for path in app.openapi()["paths"]]
    assert [route for route in routes if f"{route}`" not in page] == []
