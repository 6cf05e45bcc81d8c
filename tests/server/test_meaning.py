"""What the trained toy models make is what they were asked for, told from the pixels alone.

`make quality` measures this on many captions; these few say that nothing between the caption and the video is broken.
"""

import pytest

from toy.world.detect import Seen, detect

from .grpc_client import generate
from .running_server import RunningServer

SEEDS = (1, 7, 11)
"""of which a square of no colour comes out red"""


@pytest.mark.parametrize(
    ("prompt", "seen"),
    [
        ("a red circle moving right on a black background", Seen("circle", "red", "right", "black")),
        ("a blue square going up on white", Seen("square", "blue", "up", "white")),
        ("the yellow ring shrinking on a grey background", Seen("ring", "yellow", "shrinking", "grey")),
        ("a green triangle that stays still with a black background", Seen("triangle", "green", "still", "black")),
        ("A purple plus sign, falling, against white", Seen("cross", "purple", "down", "white")),
    ],
)
async def test_a_video_shows_what_its_prompt_says(server: RunningServer, prompt: str, seen: Seen) -> None:
    assert detect((await generate(server.grpc, prompt=prompt, seed=3)).frames) == seen


async def test_a_negative_prompt_removes_what_it_names(server: RunningServer) -> None:
    async def colours(**fields: str) -> list[str | None]:
        videos = [await generate(server.grpc, prompt="a square on a white background", seed=s, **fields) for s in SEEDS]
        return [detect(video.frames).colour for video in videos]

    assert await colours() == ["red"] * len(SEEDS)
    assert "red" not in await colours(negative_prompt="red")
