import httpx
from fastapi import FastAPI

from frontend.schemas.videos_generations import VideoGenerationRequest


async def test_docs_are_served(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs")).status_code == 200
    assert (await client.get("/openapi.json")).json()["info"]["title"] == "Tritonreel"


def test_every_request_field_says_what_it_is(app: FastAPI) -> None:
    properties = app.openapi()["components"]["schemas"]["VideoGenerationRequest"]["properties"]
    assert properties.keys() == VideoGenerationRequest.model_fields.keys()
    assert [name for name, schema in properties.items() if "description" not in schema] == []


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
