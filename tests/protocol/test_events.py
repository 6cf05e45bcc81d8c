"""What `generate` says is read as what it was."""

import json
from typing import Any

import numpy as np
import pytest

from protocol.events import Done, Event, Failed, JobTimings, Loras, Models, Progress, read_event
from protocol.lora import LoraInfo
from protocol.resolve import parse, resolve
from protocol.sampling import MAX_SEED, QwenImageSpec, WanSpec
from tests.model_cards import image_to_video_card, model_card, text_to_image_card

TIMINGS = JobTimings(queue_seconds=0, text_seconds=0.1, denoise_seconds=1e-6, decode_seconds=0.3, total_seconds=12.5)
WAN = resolve(parse({"prompt": "a fox 🦊\0\n", "seed": MAX_SEED, "lora": {"name": "ink", "scale": 0.1}}), model_card())
ONE_EXPERT = resolve(parse({"prompt": "x", "guidance_scale": 0.1}), model_card(experts=1))
QWEN = resolve(parse({"prompt": "x", "negative_prompt": ""}), text_to_image_card())


@pytest.mark.parametrize(
    "event",
    [
        Progress(steps_done=3, steps=40, frames_done=0, frames=81),
        Done(model="a", spec=WAN, timings=TIMINGS),
        Done(model="a", spec=WAN, timings=TIMINGS, warnings=("negative_prompt has no effect", "a fox 🦊")),
        Done(model="b", spec=ONE_EXPERT, timings=TIMINGS),
        Done(model="c", spec=QWEN, timings=TIMINGS),
        Failed(code="queue_full", message="8 jobs run"),
        Failed(code="invalid_request", message="must be positive", field="seed"),
        Models(models=(model_card(), model_card(experts=1), image_to_video_card(), text_to_image_card())),
        Models(models=()),
        Loras(loras=(LoraInfo(name="ink", rank=16, bytes=1000, models=["a"]),)),
    ],
    ids=lambda event: event.type,
)
def test_an_event_survives_the_wire(event: Event) -> None:
    said = event.to_json()
    assert said.isascii() or said.isprintable()
    assert "\n" not in said
    assert read_event(said) == read_event(said.encode()) == event


def test_the_report_has_the_familys_own_spec() -> None:
    for spec, kind in ((WAN, WanSpec), (QWEN, QwenImageSpec)):
        read = read_event(Done(model="a", spec=spec, timings=TIMINGS).to_json())
        assert isinstance(read, Done)
        assert type(read.spec) is kind


def test_the_report_leaves_the_image_out() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    spec = resolve(parse({"prompt": "x", "image": image}), image_to_video_card())
    assert "image" not in json.loads(Done(model="a", spec=spec, timings=TIMINGS).to_json())["spec"]


def test_a_default_that_a_card_rules_out_stays_ruled_out() -> None:
    """None says that a model has no use for a field, which is not the same as a card that does not mention it."""
    card = model_card()
    defaults = card.defaults.model_copy(update={"negative_prompt": None})
    read = read_event(Models(models=(card.model_copy(update={"defaults": defaults}),)).to_json())
    assert isinstance(read, Models)
    assert read.models[0].defaults.negative_prompt is None


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[]",
        "{}",
        {"steps_done": 1},
        {"type": "finished"},
        {"type": "progress", "steps_done": 1},
        {"type": "progress", "steps_done": 1, "steps": 2, "frames_done": 0, "frames": "many"},
        {"type": "progress", "steps_done": 1, "steps": 2, "frames_done": 0, "frames": 9, "latents": 1},
        {"type": "done", "model": "a"},
        {"type": "done", "model": "a", "spec": {"prompt": "x"}, "timings": TIMINGS.model_dump()},
        {"type": "failed", "code": "queue_full"},
    ],
    ids=str,
)
def test_what_breaks_the_contract_is_refused(said: Any) -> None:
    with pytest.raises(ValueError, match="validation error"):
        read_event(said if isinstance(said, str) else json.dumps(said))
