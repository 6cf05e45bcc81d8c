"""What an operator may set in generate's config.pbtxt, and what is said where it cannot be used."""

from typing import Any

import pytest

from pipelines.ensemble.settings import Settings

from .conftest import PARAMETERS


def config(**changes: str | None) -> dict[str, Any]:
    """A model configuration as Triton gives it; None leaves a parameter out."""
    values = {name: str(value) for name, value in PARAMETERS.items()} | changes
    return {"parameters": {name: {"string_value": value} for name, value in values.items() if value is not None}}


def test_parameters_are_read_from_their_strings() -> None:
    assert Settings.read(config(max_running_jobs="8")).model_dump() == PARAMETERS | {"max_running_jobs": 8}


def test_parameters_of_triton_s_own_are_not_ours() -> None:
    assert Settings.read(config(FORCE_CPU_ONLY_INPUT_TENSORS="no")) == Settings.read(config())


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("value", [None, "", "many", "1.5", "-1"])
def test_a_parameter_that_is_missing_or_no_number_is_named(name: str, value: str | None) -> None:
    with pytest.raises(ValueError, match=rf"config\.pbtxt: parameter '{name}': "):
        Settings.read(config(**{name: value}))


@pytest.mark.parametrize("name", ["max_running_jobs", "max_step_batch", "max_step_elements"])
def test_zero_is_refused_where_nothing_would_run(name: str) -> None:
    with pytest.raises(ValueError, match=f"parameter '{name}': Input should be greater than 0"):
        Settings.read(config(**{name: "0"}))


def test_a_configuration_without_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="parameter 'max_running_jobs': Field required"):
        Settings.read({})
