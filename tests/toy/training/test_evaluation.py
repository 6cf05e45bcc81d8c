"""What a look at a model reports: the truth for drawn videos, and a sheet to see it."""

from pathlib import Path

import numpy as np
from PIL import Image

from toy.training.evaluation import held_out_prompts, look
from toy.world.draw import draw


def test_drawn_videos_agree_with_their_scenes(tmp_path: Path) -> None:
    scenes, captions = held_out_prompts(6)
    videos = [draw(scene, 64, 64, 9) for scene in scenes]
    sheet = tmp_path / "sheets" / "drawn.png"
    assert look(videos, scenes, captions, sheet) == dict.fromkeys(
        ("shape", "colour", "motion", "background", "all"), 1.0
    )
    with Image.open(sheet) as image:
        assert image.width > 5 * 64


def test_other_videos_do_not(tmp_path: Path) -> None:
    scenes, captions = held_out_prompts(6)
    blank = [np.zeros((9, 64, 64, 3), np.float32)] * 6
    scores = look(blank, scenes, captions, tmp_path / "blank.png")
    assert scores["colour"] == scores["all"] == 0


def test_images_are_judged_without_motion(tmp_path: Path) -> None:
    scenes, captions = held_out_prompts(6, still=True)
    images = [draw(scene, 64, 64, 1) for scene in scenes]
    scores = look(images, scenes, captions, tmp_path / "images.png", ("shape", "colour"))
    assert scores == {"shape": 1.0, "colour": 1.0, "all": 1.0}


def test_the_same_prompts_every_time() -> None:
    assert held_out_prompts(8) == held_out_prompts(8)
    assert held_out_prompts(8)[1] != held_out_prompts(8, seed=1)[1]
