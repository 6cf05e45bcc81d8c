"""What a checkpoint in a repository was exported from, so that nothing needs to be loaded to see that nothing changed.

Kept beside the model card. It covers all code that an export uses; where any of that has changed, the export itself
decides, component by component, what must be made again.
"""

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from export.options import Options
from export.source import exporter_fingerprint, read_source

RECORD_FILE = "export.json"

_VERSION = "1"
_GENERATE = "generate"
_EXPORTER = ("export.exporter", "export.families")
"""these import everything"""


class ExportRecord(BaseModel):
    """Of one checkpoint."""

    model_config = ConfigDict(frozen=True)

    checkpoint: str
    """fingerprint of all its files"""
    exporter: str
    """fingerprint of all code, of the libraries and of the options"""
    models: dict[str, tuple[str, str]]
    """the Triton models that it became, and their `Source`'s fingerprints"""

    @classmethod
    def of(cls, folder: Path, options: Options, models: dict[str, tuple[str, str]]) -> "ExportRecord":
        return cls(checkpoint=_checkpoint_fingerprint(folder), exporter=_exporter_fingerprint(options), models=models)

    def write(self, folder: Path) -> None:
        (folder / RECORD_FILE).write_text(self.model_dump_json(indent=2) + "\n")


def is_exported(folder: Path, repository: Path, options: Options) -> bool:
    """Whether exporting the checkpoint into the repository would change nothing. Takes as long as reading its files."""
    records = [_read(file) for file in (repository / _GENERATE / _VERSION).glob(f"*/{RECORD_FILE}")]
    exporter = _exporter_fingerprint(options)
    complete = [
        record for record in records if record and record.exporter == exporter and _is_complete(record, repository)
    ]
    if not complete or not folder.is_dir():
        return False
    checkpoint = _checkpoint_fingerprint(folder)
    return any(record.checkpoint == checkpoint for record in complete)


def _is_complete(record: ExportRecord, repository: Path) -> bool:
    if not (repository / _GENERATE / _VERSION / "model.py").is_file():
        return False
    if not all((repository / model / "config.pbtxt").is_file() for model in (_GENERATE, *record.models)):
        return False
    versions = {repository / model / _VERSION: made_from for model, made_from in record.models.items()}
    return all(
        (source := read_source(version)) is not None and source.serves(version, *made_from)
        for version, made_from in versions.items()
    )


def _read(file: Path) -> ExportRecord | None:
    try:
        return ExportRecord.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _exporter_fingerprint(options: Options) -> str:
    return exporter_fingerprint(options, _EXPORTER) + (f" {options.model_id}" if options.model_id else "")


def _checkpoint_fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest.update(f"\n{path.relative_to(folder)}\n".encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
