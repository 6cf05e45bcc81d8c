"""The errors that a client can see."""

from collections.abc import Iterator

import pytest

from frontend.error_rules import INTERNAL, error_of, rule_of
from frontend.errors import EngineFailed, FrontendError
from protocol.errors import PipelineError


def kinds(base: type[FrontendError] | type[PipelineError]) -> Iterator[type[FrontendError] | type[PipelineError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_an_error_is_found_again_by_its_code() -> None:
    for kind in (*kinds(FrontendError), *kinds(PipelineError)):
        rule = rule_of(kind("x"))
        error = error_of(rule.code, "message", "field")
        assert rule_of(error) == rule
        assert isinstance(error, FrontendError | PipelineError)
        assert (error.message, error.field) == ("message", "field")


@pytest.mark.parametrize("code", [INTERNAL.code, "of another release"])
def test_what_has_no_code_of_its_own_is_a_fault_of_ours(code: str) -> None:
    assert type(error_of(code, "message", None)) is EngineFailed
