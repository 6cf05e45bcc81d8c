"""JSON files that an export writes into the version folder of a model, beside its graphs."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class VersionFile(BaseModel):
    """What one of them says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file_name: ClassVar[str]
    describes: ClassVar[str]
    """for who reads that there is none"""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """That of a version folder.

        Raises:
            FileNotFoundError: it holds none, or that of another release.
        """
        try:
            return cls.model_validate_json((folder / cls.file_name).read_text())
        except (OSError, ValidationError):
            raise FileNotFoundError(
                f"{folder} holds no {cls.describes} of this release: export the checkpoint again"
            ) from None

    def write(self, folder: Path) -> None:
        (folder / self.file_name).write_text(self.model_dump_json(indent=1) + "\n")
