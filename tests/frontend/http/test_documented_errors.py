import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from frontend.error_rules import CLIENT_CLOSED_REQUEST, rule_of
from frontend.errors import FrontendError
from frontend.http.documented_errors import GENERATION_ERRORS, markdown_table
from protocol.errors import PipelineError


def statuses_of(kind: type[FrontendError] | type[PipelineError]) -> Iterator[int]:
    for error in kind.__subclasses__():
        yield rule_of(error("x")).status
        yield from statuses_of(error)


@pytest.mark.parametrize("kind", [FrontendError, PipelineError])
def test_the_introduction_lists_every_status_that_an_error_has(app: FastAPI, kind: type[FrontendError]) -> None:
    introduction = app.openapi()["info"]["description"]
    assert markdown_table() in introduction
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", introduction, re.MULTILINE)}
    assert set(statuses_of(kind)) - {CLIENT_CLOSED_REQUEST} <= listed
    assert '`{"error": {"message", "type", "param", "code"}}`' in introduction


def test_a_route_documents_all_cases_of_a_status_in_one_sentence(app: FastAPI) -> None:
    responses: dict[str, Any] = app.openapi()["paths"]["/v1/images/generations"]["post"]["responses"]
    assert responses["400"]["description"] == (
        "The body cannot be read, or asks for something that the model cannot do; or the `Host` header cannot be read."
    )
    assert responses["503"]["description"].count("; or ") == 2
    assert responses.keys() - {"200", "202"} == {str(status) for status in GENERATION_ERRORS}


def test_routes_that_make_nothing_document_what_stops_a_request_before_them(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    assert paths["/metrics"]["get"]["responses"].keys() == {"200", "400", "401", "403", "421", "503"}
    assert paths["/health/live"]["get"]["responses"].keys() == {"200", "400", "403", "421"}
