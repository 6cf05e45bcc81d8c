"""Which of the exported checkpoints `generate` is to serve: the launcher writes it, `generate` reads it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

SERVED_VARIABLE = "TRITONREEL_SERVED"
"""environment variable of `generate`: the file; absent: everything that was exported is served"""


class Served(BaseModel):
    """The file, and what the checkpoints' models in Triton are loaded for."""

    model_config = ConfigDict(frozen=True)

    checkpoints: tuple[str, ...]
    """names of the folders that their cards are in"""

    @classmethod
    def read(cls, file: Path) -> "Served":
        return cls.model_validate_json(file.read_bytes())

    def write(self, file: Path) -> None:
        """Replace the file; who reads it meanwhile finds the former or the new."""
        partial = file.with_suffix(".part")
        partial.write_text(self.model_dump_json())
        partial.replace(file)
