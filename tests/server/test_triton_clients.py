"""What a Triton user runs against the gRPC port: the example client, and perf_analyzer's requests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import benchmarks
import frontend

from .grpc_client import generate
from .running_server import RunningServer

EXAMPLE = Path(frontend.__file__).parent / "examples" / "triton_stream.py"
REQUESTS = Path(benchmarks.__file__).parent / "requests.json"
PROMPT = "a red circle moving right on a black background"


def run(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE), "--url", url, *arguments]
    environment = os.environ | {"NO_PROXY": "127.0.0.1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_example_streams_a_video(server: RunningServer, tmp_path: Path) -> None:
    parameters = '{"seed": 7, "num_inference_steps": 3, "negative_prompt": "red", "guidance_scale": 1}'
    done = run(tmp_path, server.grpc, "--prompt", PROMPT, "--parameters", parameters, "--output", "a.webp")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("toy-wan-t2v, seed 7, ")
    assert second == "a.webp: 9 frames of 64x64"
    for line in ("step 0/3, 0 frames", "step 3/3, 9 frames", "Warning: negative_prompt has no effect"):
        assert line in done.stderr
    with Image.open(tmp_path / "a.webp") as video:
        assert (getattr(video, "n_frames", 1), video.size) == (9, (64, 64))


def test_the_example_streams_an_image_and_a_video_from_one(families_server: RunningServer, tmp_path: Path) -> None:
    made = run(tmp_path, families_server.grpc, "--prompt", "x", "--model", "tiny-qwen-image", "--output", "first.png")
    assert made.returncode == 0, made.stderr
    from_it = run(tmp_path, families_server.grpc, "--prompt", "x", "--model", "tiny-i2v", "--image", "first.png")
    assert from_it.returncode == 0, from_it.stderr
    with Image.open(tmp_path / "video.webp") as video:
        assert getattr(video, "n_frames", 1) > 1


def test_its_errors_are_sentences(families_server: RunningServer, tmp_path: Path) -> None:
    for arguments, message in (
        (("--prompt", "x"), "The server refused (model_not_found): model: say which model; served: tiny-"),
        (("--prompt", "x", "--model", "tiny-i2v"), "The server refused (invalid_request): image: tiny-i2v makes"),
        (("--prompt", "x", "--model", "tiny-ti2v", "--parameters", '{"seed": -1}'), "invalid_request): seed: "),
    ):
        done = run(tmp_path, families_server.grpc, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert message in line
    assert list(tmp_path.iterdir()) == []


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "127.0.0.1:9", "--prompt", "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("No answer from 127.0.0.1:9: ")
    assert "Is the server running?" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "message"), [(("--output", "a.mp4"), "must end in"), ((), "--prompt")])
def test_mistakes_are_found_before_anything_is_sent(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run(tmp_path, "127.0.0.1:9", *arguments, *(("--prompt", "x") if arguments else ()))
    assert done.returncode == 2
    assert message in done.stderr


async def test_the_requests_for_perf_analyzer_are_answered(server: RunningServer) -> None:
    for request in json.loads(REQUESTS.read_text())["data"][:3]:
        made = await generate(server.grpc, **{name: value for name, (value,) in request.items()})
        assert made.info["type"] == "done"
        assert made.frames.shape == (9, 64, 64, 3)
