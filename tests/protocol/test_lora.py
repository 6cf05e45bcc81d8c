"""The adapter object in our words and in those of other servers."""

from typing import Any

import pytest
from pydantic import ValidationError

from protocol.lora import OTHER_WORDS, LoraRequest


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        # vLLM-Omni
        ({"name": "ink", "local_path": "styles/ink", "scale": 0.5, "int_id": 7}, {"path": "styles/ink", "scale": 0.5}),
        ({"lora_name": "ink", "lora_path": "ink", "lora_scale": 2, "lora_int_id": 1}, {"path": "ink", "scale": 2.0}),
        ({"adapter": "ink", "lora_local_path": "ink"}, {"path": "ink"}),
        # SGLang
        (
            {"lora_nickname": "ink", "lora_path": "ink.safetensors", "strength": 0.8},
            {"path": "ink.safetensors", "scale": 0.8},
        ),
        ({"lora_nickname": "ink", "lora_path": None}, {"name": "ink"}),
        # diffusers' own words
        ({"adapter_name": "ink", "weight": 0.3}, {"name": "ink", "scale": 0.3}),
        # WaveSpeed
        ({"path": "ink", "scale": 1}, {"path": "ink", "scale": 1.0}),
        ({"name": "ink", "lora_name": "ink"}, {"name": "ink"}),
    ],
)
def test_other_servers_words_mean_the_same(said: dict[str, Any], meant: dict[str, Any]) -> None:
    assert LoraRequest(**said) == LoraRequest(**meant)
    assert LoraRequest(**said).model_dump(exclude_defaults=True) == {k: v for k, v in meant.items() if v != 1.0}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"name": "ink", "lora_name": "foil"}, "says `name` twice, as 'ink' and as 'foil'"),
        ({"name": "ink", "scale": 1, "strength": 0.5}, "says `scale` twice, as 1 and as 0.5"),
        ({"int_id": 1}, "must have one of `name`, `path`, or the pair `high` and `low`"),
        ({"name": "ink", "strength": "strong"}, "scale.*valid number"),
        ({"name": "ink", "strength": 11}, "scale.*less than or equal to 10"),
        ({"lora_name": "ink", "rank": 4}, "rank.*not permitted"),
        ({"local_path": "ink", "high": "ink"}, "must have one of"),
        ({"local_path": "x" * 300}, "path.*at most 255"),
        ({"local_path": "ink", "name": 5}, "name.*valid string"),
    ],
)
def test_what_they_do_not_mean_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){message}"):
        LoraRequest(**said)


def test_no_word_of_others_is_one_of_ours() -> None:
    assert OTHER_WORDS.keys().isdisjoint(LoraRequest.model_fields)
    assert set(OTHER_WORDS.values()) <= LoraRequest.model_fields.keys()
