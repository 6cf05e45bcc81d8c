from typing import Any

import pytest

from frontend.generators.evaluations import evaluations
from protocol.events import Progress
from protocol.model_card import ModelCard
from protocol.resolve import parse, resolve
from tests.model_cards import model_card, text_to_image_card


@pytest.mark.parametrize(
    ("card", "fields", "each"),
    [
        (model_card(), {"guidance_scale": 4.0, "guidance_scale_2": 3.0}, 2),
        (model_card(), {"guidance_scale": 1.0, "guidance_scale_2": 3.0}, 2),
        (model_card(), {"guidance_scale": 1.0, "guidance_scale_2": 1.0}, 1),
        (model_card(), {"guidance_scale": 0.0}, 1),
        (text_to_image_card(), {"true_cfg_scale": 4.0}, 2),
        (text_to_image_card(), {"true_cfg_scale": 1.0}, 1),
    ],
)
def test_a_guided_step_is_two(card: ModelCard, fields: dict[str, Any], each: int) -> None:
    spec = resolve(parse({"prompt": "a fox", "num_inference_steps": 10, **fields}), card)
    assert evaluations(spec) == 10 * each
    progress = Progress(steps_done=7, steps=10, frames_done=0, frames=9)
    assert evaluations(spec, progress) == 3 * each
