"""Encoded prompts and images on the real tritonserver: shared by jobs, and never spoilt by an error."""

import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.parity.compared import random_image

from .running_server import RunningServer
from .test_families import png

FAILING = Path(__file__).parent / "failing_text_encoder" / "model.py"


def test_a_text_encoder_that_fails_spoils_no_prompt(toy: Any, tmp_path: Path) -> None:
    """An error and an empty answer are told as such, and the same prompt works when the encoder does."""
    repository = tmp_path / "model_repository"
    shutil.copytree(toy.repository, repository)
    encoder = repository / "wan_text_encoder"
    shutil.copy(FAILING, encoder / "1" / "model.py")
    config = encoder / "config.pbtxt"
    config.write_text(config.read_text().replace('backend: "engine"', 'backend: "python"'))
    request: dict[str, Any] = {
        "prompt": "a red circle",
        "guidance_scale": 1,
        "guidance_scale_2": 1,
        "num_inference_steps": 1,
    }

    with RunningServer(repository, tmp_path / "run") as server:
        answers = [server.post(**request) for _ in range(4)]
        calls = server.metric("condition_cache_misses_total", model="wan_text_encoder")

    assert [answer.status_code for answer in answers] == [503, 503, 200, 200]
    messages = [answer.json()["error"]["message"] for answer in answers[:2]]
    assert "wan_text_encoder: it failed" in messages[0]
    assert "wan_text_encoder answered without its output 'last_hidden_state'" in messages[1]
    assert calls == 3


def test_videos_of_one_request_encode_their_image_once(families_server: RunningServer) -> None:
    # rolled: an image that no other test of this server has
    calls = families_server.metric("nv_inference_request_success", model="wan_vae_encoder")

    response = httpx.post(
        f"{families_server.url}/v1/videos",
        data={"model": "tiny-i2v", "prompt": "it moves", "n": "4", "num_frames": "9"},
        files={"input_reference": ("image.png", png(np.roll(random_image(64, 48), 1, axis=0)), "image/png")},
        timeout=120,
    )

    assert response.status_code == 200, response.text
    assert len({video["b64_json"] for video in response.json()["data"]}) == 4
    chunks = 3  # of nine frames
    assert families_server.metric("nv_inference_request_success", model="wan_vae_encoder") == calls + chunks


def test_another_image_is_encoded_anew(families_server: RunningServer) -> None:
    def calls() -> float:
        return families_server.metric("nv_inference_request_success", model="wan_ti2v_vae_encoder")

    counts = []
    for pixels in (random_image(64, 96), random_image(64, 96), np.invert(random_image(64, 96))):
        before = calls()
        response = httpx.post(
            f"{families_server.url}/v1/videos",
            data={"model": "tiny-ti2v", "prompt": "it moves", "num_inference_steps": "1"},
            files={"input_reference": ("image.png", png(pixels), "image/png")},
            timeout=120,
        )
        assert response.status_code == 200, response.text
        counts.append(calls() - before)
    assert counts[1:] == [0, 1]
