"""What a Triton model's files were made from, so that equal ones are not made twice and others not overwritten.

Several families have components in common. Each version folder holds a source.json that tells which weights are in it.
"""

import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from export.checkpoint import read_json
from export.imports import imported_files
from export.options import Form, Options, Precision, Target
from pipelines.lora.targets import Targets

SOURCE_FILE = "source.json"

_LIBRARIES = ("torch", "diffusers", "transformers", "onnxscript", "onnx-ir")
_COMPONENT = "export.component"
"""the module that exports one component, whatever its kind"""
_CONFIG_FILE = "config.json"
_VERSION_KEY = "transformers_version"


class Source(BaseModel):
    """What was exported, and what came of it."""

    model_config = ConfigDict(frozen=True)

    component: str
    """fingerprint of the weights and the configuration"""
    exporter: str
    """fingerprint of everything else that the graphs depend on"""
    files: dict[str, int]
    """bytes of each file"""
    parameters: int
    target: Target = Target.ONNXRUNTIME
    precision: Precision = Precision.FLOAT32
    max_difference: float
    """between the graphs and the torch module in float32, as it was measured"""
    signal_to_noise: float | None = None
    """the same in dB, of half precision"""
    adapter_targets: Targets | None = None
    """what adapters may change; transformers have it"""

    def write(self, folder: Path) -> None:
        (folder / SOURCE_FILE).write_text(self.model_dump_json(indent=2) + "\n")

    def serves(self, folder: Path, component: str, exporter: str) -> bool:
        """Whether the files are all there, and exporting the component again would give the same."""
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
        return (self.component, self.exporter) == (component, exporter) and self.files.items() <= sizes.items()


def read_source(folder: Path) -> Source | None:
    """The version folder's source.json; None when it has none that can be read."""
    try:
        return Source.model_validate_json((folder / SOURCE_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def component_config(folder: Path) -> dict[str, Any]:
    """A component's configuration, less what it says about who wrote it."""
    return {
        key: value
        for key, value in read_json(folder / _CONFIG_FILE).items()
        if not key.startswith("_") and key != _VERSION_KEY
    }


def component_fingerprint(folder: Path) -> str:
    """SHA-256 of a component's weights and configuration."""
    digest = hashlib.sha256(json.dumps(component_config(folder), sort_keys=True).encode())
    _add_files(digest, folder.glob("*.safetensors"))
    return digest.hexdigest()


def exporter_fingerprint(options: Options, modules: Iterable[str] = (), form: Form | None = None) -> str:
    """SHA-256 of the code that makes graphs, of its libraries' versions, and of the options that change files.

    Args:
        modules: that make the graphs of one kind of component; what they import counts too.
        form: of that component; None for a checkpoint, whose components are in several.
    """
    precisions = [options.precision, options.precision_of_vae] if form is None else [form.precision]
    settings = [f"{library} {version(library)}" for library in _LIBRARIES]
    settings += [options.target, *precisions, str(options.external_above)]
    digest = hashlib.sha256("\n".join(settings).encode())
    _add_files(digest, imported_files([_COMPONENT, *modules]))
    return digest.hexdigest()


def _add_files(digest: "hashlib._Hash", paths: Iterable[Path]) -> None:
    for path in sorted(paths):
        with path.open("rb") as file:
            digest.update(f"\n{path.name}\n".encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
