from collections.abc import Iterator
from typing import Any

import httpx
from fastapi import FastAPI

from frontend.schemas.videos import TEXT_FIELDS, VideoCreateRequest
from frontend.schemas.videos_generations import VideoGenerationRequest


async def test_docs_are_served(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs")).status_code == 200
    assert (await client.get("/openapi.json")).json()["info"]["title"] == "Tritonreel"


def test_every_request_field_says_what_it_is(app: FastAPI) -> None:
    properties = app.openapi()["components"]["schemas"]["VideoGenerationRequest"]["properties"]
    assert properties.keys() == VideoGenerationRequest.model_fields.keys()
    assert [name for name, schema in properties.items() if "description" not in schema] == []


def bodies(app: FastAPI) -> dict[str, Any]:
    """The schemas of `POST /v1/videos`, by content type."""
    content = app.openapi()["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    return {content_type: body["schema"] for content_type, body in content.items()}


def test_both_kinds_of_body_of_a_video_say_what_their_fields_are(app: FastAPI) -> None:
    form, body = bodies(app)["multipart/form-data"], bodies(app)["application/json"]
    assert body["properties"].keys() == VideoCreateRequest.model_fields.keys()
    assert form["properties"].keys() == body["properties"].keys() | {
        "input_reference[image_url]",
        "input_reference[file_id]",
    }
    for schema in (form, body):
        assert [name for name, field in schema["properties"].items() if "description" not in field] == []
        assert schema["required"] == ["prompt"]
        assert "$ref" not in str(schema)
    assert form["properties"]["input_reference"]["format"] == "binary"


def test_the_examples_of_a_video_are_valid(app: FastAPI) -> None:
    for example in bodies(app)["application/json"]["examples"]:
        assert VideoCreateRequest.model_validate(example).unknown_fields() == []


def test_the_fields_that_are_text_in_a_form_are_those_that_are_text_in_json(app: FastAPI) -> None:
    assert set(texts_in(bodies(app)["application/json"])) == TEXT_FIELDS


def texts_in(schema: dict[str, Any], name: str = "") -> Iterator[str]:
    """Names of the properties, at any depth, that can be strings."""
    if schema.get("type") == "string":
        yield name
    for option in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        yield from texts_in(option, name)
    for inner, field in schema.get("properties", {}).items():
        yield from texts_in(field, inner)


def test_the_examples_are_valid(app: FastAPI) -> None:
    examples = app.openapi()["components"]["schemas"]["VideoGenerationRequest"]["examples"]
    requests = [VideoGenerationRequest.model_validate(example) for example in examples]
    assert requests
    assert [request.unknown_fields() for request in requests] == [[]] * len(requests)


def test_every_route_has_a_summary_and_a_tag(app: FastAPI) -> None:
    for path, operations in app.openapi()["paths"].items():
        for operation in operations.values():
            assert operation["tags"], path
            assert len(operation["summary"]) > 10, path


def test_errors_are_documented_as_they_are(app: FastAPI) -> None:
    assert "HTTPValidationError" not in app.openapi()["components"]["schemas"]
