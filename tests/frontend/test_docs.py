import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from frontend.media.reference_image import FIELD
from frontend.schemas.videos import TEXT_FIELDS, VideoCreateRequest
from frontend.schemas.videos_generations import VideoGenerationRequest
from protocol.sampling import QwenImageSpec, WanSpec


async def test_docs_are_served(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<title>Tritonreel API</title>" in page.text
    assert (await client.get("/openapi.json")).json()["info"]["title"] == "Tritonreel"
    assert (await client.get("/redoc")).status_code == 404


async def test_the_page_is_made_of_files_of_this_server_and_nothing_inline(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    assert "//" not in page
    assert re.findall(r"<script(?! src=)|<style|\sstyle=|\son\w+=|javascript:", page) == []
    named = re.findall(r'(?:src|href)="(.+?)"', page)
    types = {
        "docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "docs/docs.js": "text/javascript; charset=utf-8",
        "docs/swagger-ui.css": "text/css; charset=utf-8",
        "docs/docs.css": "text/css; charset=utf-8",
        "docs/colours.css": "text/css; charset=utf-8",
        "docs/icon.svg": "image/svg+xml",
    }
    assert set(named) == {*types, "openapi.json", "."}
    for name, media_type in types.items():
        file = await client.get(f"/{name}")
        assert (file.status_code, file.headers["Content-Type"]) == (200, media_type), name
        head = await client.head(f"/{name}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(file.content))
        again = await client.get(f"/{name}", headers={"If-None-Match": file.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert (await client.head("/docs")).status_code == 200


async def test_our_own_files_name_no_other_host(client: httpx.AsyncClient) -> None:
    for name in ("docs.js", "docs.css", "colours.css"):
        assert "//" not in re.sub(r" // .*", "", (await client.get(f"/docs/{name}")).text)


@pytest.mark.parametrize("name", ["redoc.standalone.js", "favicon.png", "..%2fpyproject.toml", "index.html", "%00"])
async def test_there_are_no_other_files(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/docs/{name}")).status_code == 404


def test_every_request_field_says_what_it_is(app: FastAPI) -> None:
    properties = app.openapi()["components"]["schemas"]["VideoGenerationRequest"]["properties"]
    assert properties.keys() == VideoGenerationRequest.model_fields.keys()
    assert [name for name, schema in properties.items() if "description" not in schema] == []


def bodies(app: FastAPI) -> dict[str, Any]:
    """The schemas of `POST /v1/videos`, by content type."""
    content = app.openapi()["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    return {content_type: body["schema"] for content_type, body in content.items()}


def test_all_kinds_of_body_of_a_video_say_what_their_fields_are(app: FastAPI) -> None:
    form, body = bodies(app)["multipart/form-data"], bodies(app)["application/json"]
    encoded = bodies(app)["application/x-www-form-urlencoded"]
    assert body["properties"].keys() == VideoCreateRequest.model_fields.keys()
    assert form["properties"].keys() == body["properties"].keys() | {
        "input_reference[image_url]",
        "input_reference[file_id]",
    }
    assert encoded["properties"] == {name: field for name, field in form["properties"].items() if name != FIELD}
    for schema in (form, encoded, body):
        assert [name for name, field in schema["properties"].items() if "description" not in field] == []
        assert schema["required"] == ["prompt"]
        assert "$ref" not in str(schema)
    assert form["properties"]["input_reference"]["format"] == "binary"


def test_the_examples_of_a_video_are_valid(app: FastAPI) -> None:
    for example in bodies(app)["application/json"]["examples"]:
        assert VideoCreateRequest.model_validate(example).unknown_fields() == []


def test_the_fields_that_are_text_in_a_form_are_those_that_are_text_in_json() -> None:
    assert {
        *("prompt", "negative_prompt", "model", "size", "solver", "response_format"),
        *("image_url", "file_id"),
        *("name", "path", "high", "low"),
    } == TEXT_FIELDS


SCHEMAS = ("VideoGenerationRequest", "ImageGenerationRequest", "ExtraBody", "ImageExtraBody")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_sampling_fields_have_the_bounds_and_descriptions_of_the_protocol(app: FastAPI, schema: str) -> None:
    """As in the specs of jobs, where each is declared once; here it may be null."""
    properties = app.openapi()["components"]["schemas"][schema]["properties"]
    spec: type[BaseModel] = QwenImageSpec if schema.startswith("Image") else WanSpec
    declared = spec.model_json_schema()["properties"]
    shared = declared.keys() & properties.keys()
    assert shared >= {"width", "num_inference_steps", "seed", "solver", "negative_prompt", "lora", "guidance_scale"}
    for name in shared - {"lora", "prompt"}:
        described = {key: properties[name][key] for key in ("description", "examples")}
        assert described == {key: declared[name][key] for key in described}, name
        bounds = [option for option in properties[name]["anyOf"] if option != {"type": "null"}]
        assert bounds == [option for option in _options(declared[name]) if option != {"type": "null"}], name


def _options(schema: dict[str, Any]) -> list[dict[str, Any]]:
    about = ("description", "examples", "title", "default")
    return schema.get("anyOf") or [{key: value for key, value in schema.items() if key not in about}]


def test_steps_are_bounded_as_the_protocol_says(app: FastAPI) -> None:
    schema = app.openapi()["components"]["schemas"]["VideoGenerationRequest"]["properties"]["num_inference_steps"]
    assert schema["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 200}
    assert schema["description"] == "Denoising steps."


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


def test_limits_of_prompts_and_compressed_bodies_are_documented(app: FastAPI) -> None:
    description = app.openapi()
    assert "`Content-Encoding: gzip`" in description["info"]["description"]
    prompt = description["components"]["schemas"]["VideoGenerationRequest"]["properties"]["prompt"]["description"]
    assert "max_sequence_length" in prompt
    assert "max_sequence_length" in description["components"]["schemas"]["ModelLimits"]["properties"]


def test_errors_are_documented_as_they_are(app: FastAPI) -> None:
    assert "HTTPValidationError" not in app.openapi()["components"]["schemas"]
