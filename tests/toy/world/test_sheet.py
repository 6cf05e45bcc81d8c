"""Sheets and animations show the pixels of the videos, enlarged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from toy.world.draw import draw
from toy.world.scene import place_scene
from toy.world.sheet import Exhibit, animation, contact_sheet, save_animation

VIDEO = draw(place_scene(np.random.default_rng(0), "cross", "blue", "right", "white"), 64, 48, 9)
EIGHT_BITS = (VIDEO * 255).round().astype(np.uint8)


@pytest.mark.parametrize("video", [VIDEO, EIGHT_BITS], ids=["float", "uint8"])
def test_a_contact_sheet_has_the_first_the_last_and_frames_between(video: NDArray[Any]) -> None:
    sheet = np.asarray(contact_sheet([Exhibit(video, "a blue cross")], shown=3, scale=2))

    for column, frame in enumerate((0, 4, 8)):
        left = 4 + column * (128 + 4)
        tile = sheet[4 : 4 + 96, left : left + 128]
        np.testing.assert_array_equal(tile[::2, ::2], EIGHT_BITS[frame])
        np.testing.assert_array_equal(tile[1::2, 1::2], EIGHT_BITS[frame])


def test_videos_fill_rows_and_faults_are_red() -> None:
    exhibits = [Exhibit(VIDEO[:1], "a blue cross on a white background", fault) for fault in ("", "", "seen: square")]
    one = contact_sheet(exhibits[:1], columns=2)
    sheet = contact_sheet(exhibits, columns=2)

    assert sheet.width == 2 * one.width
    assert sheet.height > 2 * one.height  # the fault has a line of its own
    pixels = np.asarray(sheet).astype(int)
    red = pixels[..., 0] - pixels[..., 1:].max(-1) > 100
    assert red[one.height :].any()
    assert not red[: one.height].any()


def test_a_video_of_one_frame_is_shown_once() -> None:
    assert contact_sheet([Exhibit(VIDEO[:1], "")], scale=1).width == 64 + 8


@pytest.mark.parametrize("name", ["videos.webp", "videos.gif"])
def test_an_animation_moves_and_waits_at_its_end(tmp_path: Path, name: str) -> None:
    images = animation([Exhibit(VIDEO, "moves"), Exhibit(VIDEO[:5], "stops")], columns=2, scale=1)
    save_animation(images, tmp_path / name, fps=8, pause=0.5)

    with Image.open(tmp_path / name) as read:
        assert sum(1 for _ in ImageSequence.Iterator(read)) == 9
        assert read.info["loop"] == 0
        read.seek(8)
        read.load()
        assert read.info["duration"] == pytest.approx(625, abs=10)
        last = np.asarray(read.convert("RGB")).astype(int)
    assert np.abs(last[4 : 4 + 48, 4 : 4 + 64] - EIGHT_BITS[8]).mean() < 3
    assert np.abs(last[4 : 4 + 48, 76 : 76 + 64] - EIGHT_BITS[4]).mean() < 3
