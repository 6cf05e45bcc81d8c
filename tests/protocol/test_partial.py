"""A partial model has the fields of its bases, with their bounds, and each may be left out."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.partial import partial


class Whole(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str = Field(min_length=1, description="Who.", examples=["ada"])
    steps: int = Field(ge=1, le=5, description="How many.", examples=[3])
    scale: float = Field(0.5, ge=0, allow_inf_nan=False, description="How much.", examples=[1.0])
    extra: int | None = Field(None, ge=0, description="What else.", examples=[0])


@partial(required=frozenset({"name"}))
class Request(Whole):
    """Of which the name must be said."""


@partial(keep_defaults=True)
class Defaults(Whole):
    """What a field has that is not said."""


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")

    more: int | None = None


class LooseRequest(Request, Loose):
    """Inherits fields that are partial already."""


def test_what_is_left_out_is_none() -> None:
    assert Request.model_validate({"name": "a"}).model_dump() == {
        "name": "a",
        "steps": None,
        "scale": None,
        "extra": None,
    }


def test_defaults_can_be_kept() -> None:
    expected = {"name": None, "steps": None, "scale": 0.5, "extra": None}
    assert Defaults.model_validate({}).model_dump() == expected
    assert Defaults.model_validate({"scale": None}).scale is None


@pytest.mark.parametrize("model", [Request, Defaults, LooseRequest])
@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("steps", 6), ("steps", "3"), ("scale", -0.1), ("scale", float("nan")), ("extra", -1)],
)
def test_what_is_said_is_bounded_as_in_the_whole(model: type[BaseModel], name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate({"name": "a", name: value})
    assert [error["loc"] for error in refused.value.errors()] == [(name,)]


def test_what_is_required_stays_required() -> None:
    with pytest.raises(ValidationError, match="Field required"):
        Request.model_validate({})
    with pytest.raises(ValidationError, match="valid string"):
        Request.model_validate({"name": None})


def test_the_whole_is_as_it_was() -> None:
    with pytest.raises(ValidationError, match="Field required"):
        Whole.model_validate({"name": "a"})
    assert Whole.model_fields["steps"].annotation is int


def test_descriptions_and_examples_are_those_of_the_whole() -> None:
    for name, field in Whole.model_json_schema()["properties"].items():
        said = LooseRequest.model_json_schema()["properties"][name]
        assert (said["description"], said["examples"]) == (field["description"], field["examples"])


def test_unknown_fields_are_as_the_subclass_has_them() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Request.model_validate({"name": "a", "others": 1})
    assert LooseRequest.model_validate({"name": "a", "others": 1}).model_extra == {"others": 1}
