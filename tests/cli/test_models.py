"""`tritonreel models` against a real server."""

import json

from cli.models import _hosted
from tests.cli.conftest import Run


def test_the_table(url: str, run: Run) -> None:
    head, video, from_image, image = run("models").stdout.splitlines()

    assert head.split() == ["MODEL", "MAKES", "DEFAULT", "STEPS", "LIMITS", "PRICE"]
    assert video.split("  ")[0] == "toy-wan-t2v"
    assert "text-to-video" in video
    assert "64x48, 9 frames at 8 fps" in video
    assert "sides to 4096, by 16, 161 frames" in video
    assert "image-to-video" in from_image
    assert "frames" not in image
    assert [one["id"] for one in json.loads(run("models", "--json").stdout)["data"]] == [
        "toy-wan-t2v",
        "toy-wan-i2v",
        "toy-qwen-image",
    ]


def test_a_hosted_model_has_a_price() -> None:
    row = _hosted(
        {
            "id": "veo",
            "tasks": ["text-to-video"],
            "durations": [4, 8],
            "resolutions": ["720p"],
            "aspect_ratios": ["16:9"],
            "dollars_per_second": {"720p": 0.1},
        }
    )
    assert row == ("veo", "text-to-video", "4 s, 8 s", "", "720p; 16:9", "720p $0.1/s")
