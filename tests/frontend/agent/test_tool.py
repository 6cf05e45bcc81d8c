"""The tools of language models: their definitions, and their calls against a real server."""

import json
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
from openai.types.chat import ChatCompletionFunctionToolParam
from pydantic import TypeAdapter

from frontend.agent.arguments import ExtendArguments, GenerateArguments
from frontend.agent.service import HttpVideoService
from frontend.agent.tool import TOOLS, call_tool
from frontend.app import create_app
from frontend.providers.demo.stage import on_stage
from frontend.providers.registry import Registry
from frontend.schemas.video_service import VideoServiceData, VideoSettings
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve
from tests.frontend.fake_generator import FakeGenerator

EVERYTHING = {
    "prompt": "a fox",
    "model": "local",
    "duration_seconds": 2,
    "aspect_ratio": "16:9",
    "resolution": "720p",
    "negative_prompt": "blurry",
    "seed": 7,
    "input_image_url": "data:image/png;base64,AAAA",
}


class Recorder:
    """A service that makes nothing, as a program may inject it."""

    def __init__(self) -> None:
        self.asked: list[GenerateArguments | ExtendArguments] = []

    async def generate(self, arguments: GenerateArguments) -> VideoServiceData:
        return self._answer(arguments)

    async def extend(self, arguments: ExtendArguments) -> VideoServiceData:
        return self._answer(arguments)

    def _answer(self, arguments: GenerateArguments | ExtendArguments) -> VideoServiceData:
        self.asked.append(arguments)
        return VideoServiceData(
            video_url="http://host/fox.mp4",
            video_urls=["http://host/fox.mp4"],
            video_id="video_1",
            provider="local",
            model="toy",
            mode="text_to_video",
            duration=2,
            settings={},
            changes=[],
            cost=0,
        )


@pytest.fixture
async def service(url: str) -> AsyncIterator[HttpVideoService]:
    async with HttpVideoService(url) as service:
        yield service


async def called(service: HttpVideoService | Recorder, name: str, arguments: str | dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await call_tool(service, name, arguments))
    return answer


@pytest.mark.parametrize("tool", TOOLS.values(), ids=list(TOOLS))
def test_definitions_are_what_openai_takes_and_short_schemas(tool: Any) -> None:
    definition = tool.definition()
    TypeAdapter(ChatCompletionFunctionToolParam).validate_python(definition)
    function = definition["function"]
    assert set(function) == {"name", "description", "parameters"}
    jsonschema.Draft202012Validator.check_schema(function["parameters"])
    assert function["parameters"]["additionalProperties"] is False
    for argument in function["parameters"]["properties"].values():
        assert {"type", "description"} <= set(argument)
        assert not {"title", "default", "anyOf", "gt", "le"} & set(argument)
    assert len(json.dumps(definition)) < 3000


def test_what_generate_video_takes() -> None:
    schema = TOOLS["generate_video"].parameters()
    assert schema["required"] == ["prompt"]
    assert set(schema["properties"]) == set(EVERYTHING)
    jsonschema.validate(EVERYTHING, schema)
    for wrong in ({}, {"prompt": "a", "seed": -1}, {"prompt": "a", "duration_seconds": 0}, {"prompt": "a", "x": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    assert {"veo-3.1-fast", "kling-v1"} <= set(schema["properties"]["model"]["description"].replace(",", " ").split())
    assert TOOLS["extend_video"].parameters()["required"] == ["prompt", "video_id"]


@pytest.mark.parametrize("arguments", [EVERYTHING, json.dumps(EVERYTHING)], ids=["object", "text"])
async def test_every_argument_reaches_the_service(arguments: str | dict[str, Any]) -> None:
    recorder = Recorder()
    assert (await called(recorder, "generate_video", arguments))["video_url"] == "http://host/fox.mp4"
    (asked,) = recorder.asked
    assert asked.model_dump() == EVERYTHING
    body = asked.body(customer_id=7)
    settings = body.pop("settings")["video"]
    assert body == {"prompt": "a fox", "input_image_url": EVERYTHING["input_image_url"], "customer_id": 7}
    assert VideoSettings.model_validate(settings).unknown_fields() == []
    assert settings == {name: EVERYTHING[name] for name in EVERYTHING if name not in body}


async def test_a_call_has_the_url_and_what_was_made(service: HttpVideoService) -> None:
    made = await called(service, "generate_video", '{"prompt": "a fox", "duration_seconds": 2, "seed": null}')
    assert made["video_url"].startswith("http://127.0.0.1:")
    assert (made["provider"], made["duration"], made["changes"]) == ("local", 17 / 8, [])

    longer = await called(
        service, "extend_video", {"prompt": "on", "video_id": made["video_id"], "duration_seconds": 1}
    )
    assert longer["source_video_id"] == made["video_id"]


@pytest.mark.parametrize(
    ("name", "arguments", "message", "field"),
    [
        ("generate_video", {}, "prompt is required", "prompt"),
        ("generate_video", {"prompt": " "}, 'prompt must not be blank, got " "', "prompt"),
        ("generate_video", {"prompt": "a", "seed": 1.5}, "seed must be an integer, got 1.5", "seed"),
        (
            "generate_video",
            {"prompt": "a", "duration_seconds": "5"},
            'duration_seconds must be a number, got "5"',
            "duration_seconds",
        ),
        ("generate_video", {"prompt": "a", "size": "big"}, 'size is not a known field, got "big"', "size"),
        ("generate_video", "a fox", "the arguments must be one JSON object", None),
        ("generate_video", "[]", "the arguments must be one JSON object", None),
        ("generate_video", "", "the arguments must be one JSON object", None),
        ("extend_video", {"prompt": "a"}, "video_id is required", "video_id"),
        ("make_video", {}, "there is no such tool; there are generate_video, extend_video", None),
    ],
)
async def test_wrong_arguments_are_told_before_anything_is_asked_for(
    name: str, arguments: str | dict[str, Any], message: str, field: str | None
) -> None:
    recorder = Recorder()
    error = (await called(recorder, name, arguments))["error"]
    assert (error["message"], error["field"]) == (message, field)
    assert recorder.asked == []


async def test_the_servers_errors_call_settings_as_the_arguments_are_called(service: HttpVideoService) -> None:
    wide = (await called(service, "generate_video", {"prompt": "a", "aspect_ratio": "wide"}))["error"]
    assert wide["field"] == "aspect_ratio"
    assert wide["message"].startswith("aspect_ratio")
    unknown = (await called(service, "extend_video", {"prompt": "a", "video_id": "video_unknown"}))["error"]
    assert unknown["code"] == "video_not_found"


async def test_a_hosted_video(serve: Serve, generator: FakeGenerator) -> None:
    with on_stage(polls=1) as stage:
        app = create_app(Settings(triton_metrics_url=NOWHERE), generator, Registry(stage.environment))
        with serve(app) as url:
            async with HttpVideoService(url) as service:
                wishes = {"model": "hunyuan-video-1.5", "duration_seconds": 6, "resolution": "480p"}
                made = await called(service, "generate_video", {"prompt": "a fox", **wishes})
    assert (made["provider"], made["duration"], made["cost"]) == ("wavespeed", 5, pytest.approx(0.1))
    assert made["changes"][0].startswith("duration_seconds is 5 seconds, not 6")
    assert len(stage.jobs["wavespeed"].taken) == 1
    assert generator.jobs == {}
