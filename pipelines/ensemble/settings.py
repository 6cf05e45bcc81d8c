"""What an operator sets in generate's config.pbtxt."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError


class Settings(BaseModel):
    """The `parameters` of config.pbtxt, where each is explained."""

    model_config = ConfigDict(frozen=True)

    max_running_jobs: PositiveInt
    max_waiting_jobs: NonNegativeInt
    max_step_batch: PositiveInt
    max_step_elements: PositiveInt
    memory_mib: NonNegativeInt
    condition_cache_mib: NonNegativeInt
    max_checkpoint_mib: NonNegativeInt

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "Settings":
        """The settings of a model configuration, as Triton gives it to models.

        Raises ValueError naming the parameter that is missing or cannot be used.
        """
        values = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(f"config.pbtxt: parameter {first['loc'][0]!r}: {first['msg']}") from None
