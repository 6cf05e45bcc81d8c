"""The tools `generate_video` and `extend_video`, for language models that call functions.

tools = [tool.definition() for tool in TOOLS]
...
content = await call_tool(service, call.function.name, call.function.arguments)
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from frontend.agent.arguments import ExtendArguments, GenerateArguments, VideoArguments
from frontend.agent.service import VideoGenerationService, VideoServiceError
from frontend.http.validation_message import field_of, message_of
from frontend.schemas.video_service import VideoServiceData
from frontend.video_service.wishes import named

_RESULT = (
    "It returns `video_url`, an MP4 file that can be fetched for about an hour without a key, `video_id`, and what was "
    "really made; `changes` says what was done otherwise than asked for, and `cost` is in US dollars. It takes from "
    "seconds to many minutes."
)

Arguments = TypeVar("Arguments", bound=VideoArguments)


@dataclass(frozen=True)
class Tool(Generic[Arguments]):
    """A function that a language model may call."""

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    run: Callable[[VideoGenerationService, Arguments], Awaitable[VideoServiceData]]

    def parameters(self) -> dict[str, Any]:
        """The JSON schema of its arguments."""
        schema = self.arguments.model_json_schema(schema_generator=_ArgumentSchema)
        return {keyword: value for keyword, value in schema.items() if keyword not in ("title", "description")}

    def definition(self) -> dict[str, Any]:
        """As OpenAI's chat completions, and what follows them, take it under `tools`."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters()}
        return {"type": "function", "function": function}

    async def call(self, service: VideoGenerationService, arguments: str | Mapping[str, Any]) -> VideoServiceData:
        """The video.

        Args:
            arguments: an object, or its JSON, as a model has written it.

        Raises:
            VideoServiceError: the arguments are wrong, or the video could not be made; it calls the server's settings
                by the names of the arguments.
        """
        try:
            if isinstance(arguments, str):
                checked = self.arguments.model_validate_json(arguments)
            else:
                checked = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise _argument_error(error) from None
        try:
            return await self.run(service, checked)
        except VideoServiceError as error:
            field = error.field and _in_arguments(error.field)
            raise VideoServiceError(_in_arguments(error.message), field, error.code) from None


GENERATE_VIDEO = Tool(
    "generate_video",
    "Make a video",
    f"Make a video of what a text describes, from an image if one is given. {_RESULT}",
    GenerateArguments,
    lambda service, arguments: service.generate(arguments),
)
EXTEND_VIDEO = Tool(
    "extend_video",
    "Make a video longer",
    f"Make an earlier video go on as a text describes; the result has both parts. {_RESULT}",
    ExtendArguments,
    lambda service, arguments: service.extend(arguments),
)
TOOLS: dict[str, Tool[Any]] = {tool.name: tool for tool in (GENERATE_VIDEO, EXTEND_VIDEO)}
"""by name"""


async def call_tool(service: VideoGenerationService, name: str, arguments: str | Mapping[str, Any]) -> str:
    """Run what a model has called; what it is to be told, as JSON: the video, or `{"error": {...}}`."""
    try:
        if name not in TOOLS:
            raise VideoServiceError(f"there is no such tool; there are {', '.join(TOOLS)}", None, "tool_not_found")
        made = await TOOLS[name].call(service, arguments)
    except VideoServiceError as error:
        return json.dumps({"error": {"message": error.message, "field": error.field, "code": error.code}})
    return made.model_dump_json(exclude_none=True)


class _ArgumentSchema(GenerateJsonSchema):
    """Short, as models read it with every request: what is optional may be left out, and nothing says `null`."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def _argument_error(error: ValidationError) -> VideoServiceError:
    details = error.errors()
    field = field_of(details[0])
    message = "the arguments must be one JSON object" if field is None else message_of(details)
    return VideoServiceError(message, field, "invalid_value")


def _in_arguments(text: str) -> str:
    return text.replace(named(""), "")
