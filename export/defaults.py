"""defaults.json: what a checkpoint folder says about its own use, beyond what diffusers' files say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from export.checkpoint import read_json
from export.errors import CheckpointError
from protocol.partial import partial
from protocol.sampling import SPECS, SamplingDefaults

DEFAULTS_FILE = "defaults.json"
_FROM_FILES = frozenset({"solver"})
"""what the checkpoint's own files say"""


@partial()
class OwnDefaults(SamplingDefaults):
    """Each field replaces the family's; see `protocol.sampling` and `protocol.model_card` for their meaning."""

    id: str | None = None
    max_frames: int | None = None
    max_pixel_frames: int | None = None
    max_sequence_length: int | None = None

    def sampling(self, folder: Path, family: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Those that are given and are fields of `SamplingDefaults`.

        Args:
            folder: for the error.
            defaults: the family's; it has a use for these, and for its fields that have a default of their own.

        Raises:
            CheckpointError: the family has no use for one.
        """
        given = {name: value for name in SamplingDefaults.model_fields if (value := getattr(self, name)) is not None}
        fields = SPECS[family].model_fields.items()
        optional = {name for name, field in fields if not field.is_required() and field.default is not None}
        unused = sorted(given.keys() - defaults.keys() - (optional - _FROM_FILES))
        if unused:
            raise CheckpointError(f"{folder}: family {family} has no use for a default {unused[0]}")
        return given


def read_defaults(folder: Path) -> OwnDefaults:
    """The folder's defaults.json; nothing is set when it has none.

    Raises:
        CheckpointError: naming the first key that is unknown or of the wrong type.
    """
    path = folder / DEFAULTS_FILE
    if not path.exists():
        return OwnDefaults.model_validate({})
    try:
        return OwnDefaults.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise CheckpointError(f"{path}: {first['loc'][0]}: {first['msg']}") from None
