"""What is made before a GPU is there: exported toys with what they should give, and graphs of real width."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from benchmarks.gpu_check.models import WideTransformer, options_for, prepare_graph, transformers
from export.options import Precision, Target
from pipelines.ensemble.in_process import InProcess

PROMPT = "a red circle moves to the right"
SEED = 7
_STEPS = 4
_EXPECTED = "expected.npy"
_FILE = "prepared.json"


class _Stamp(BaseModel):
    device: str
    is_small: bool


@dataclass(frozen=True)
class Toy:
    """A checkpoint that makes something within a second."""

    folder: Path
    device: str

    @property
    def name(self) -> str:
        return self.folder.name

    def repository(self, precision: Precision) -> Path:
        """Of graphs for the device."""
        is_reference = self.device == "cpu" and precision is Precision.FLOAT32
        return self._reference if is_reference else self.folder / precision

    @property
    def _reference(self) -> Path:
        """The repository of float32 graphs for a CPU."""
        return self.folder / "reference"

    @property
    def expected(self) -> NDArray[np.float32]:
        """What float32 graphs give on a CPU; see `make`."""
        frames: NDArray[np.float32] = np.load(self.folder / _EXPECTED)
        return frames

    def prepare(self, checkpoint: Path) -> None:
        """Export it for a CPU, to make what is expected, and for the device in all precisions that are checked."""
        _export(checkpoint, self._reference, Target.ONNXRUNTIME, Precision.FLOAT32)
        np.save(self.folder / _EXPECTED, make(InProcess(self._reference, device="cpu")))
        for precision in (Precision.FLOAT32, Precision.BFLOAT16):
            if not self.repository(precision).exists():
                _export(checkpoint, self.repository(precision), options_for(self.device).target, precision)


class Prepared:
    """A folder with everything that the checks need.

    Args:
        device: `cuda` or `cpu`, which the graphs are for.
        is_small: tiny models, to try the checks themselves.
    """

    def __init__(self, folder: Path, device: str, is_small: bool) -> None:
        self.folder, self.device, self.is_small = folder, device, is_small

    @property
    def toys(self) -> list[Toy]:
        return [Toy(path, self.device) for path in sorted((self.folder / "toys").iterdir())]

    @property
    def transformers(self) -> list[WideTransformer]:
        return transformers(self.is_small)

    def version(self, model: WideTransformer) -> Path:
        """The folder of a transformer's graph."""
        return self.folder / "transformers" / model.name

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether everything has been prepared there."""
        return (folder / _FILE).is_file()

    @classmethod
    def read(cls, folder: Path) -> "Prepared":
        """That of a folder in which everything has been prepared."""
        stamp = _Stamp.model_validate_json((folder / _FILE).read_text())
        return cls(folder, stamp.device, stamp.is_small)

    def make(self, checkpoints: list[Path]) -> None:
        """Takes minutes. What was interrupted begins anew."""
        for checkpoint in checkpoints:
            print(f"exporting {checkpoint.name}", flush=True)
            toy = Toy(self.folder / "toys" / checkpoint.name, self.device)
            toy.folder.mkdir(parents=True, exist_ok=True)
            toy.prepare(checkpoint)
        for model in self.transformers:
            print(f"tracing {model.name}, {model.layers} layers", flush=True)
            prepare_graph(model, self.version(model), options_for(self.device))
        (self.folder / _FILE).write_text(_Stamp(device=self.device, is_small=self.is_small).model_dump_json())


def make(pipeline: InProcess, steps: int = _STEPS) -> NDArray[np.float32]:
    """One video or image: float32 [frames, height, width, 3], 0..1."""
    card = pipeline.card
    fields: dict[str, Any] = {"prompt": PROMPT, "seed": SEED, "num_inference_steps": steps}
    if card.tasks == ("image-to-video",):
        fields["image"] = np.full((card.defaults.height, card.defaults.width, 3), 128, np.uint8)
    (frames,) = pipeline.frames(pipeline.params(**fields))
    return frames


def _export(checkpoint: Path, repository: Path, target: Target, precision: Precision) -> None:
    command = [sys.executable, "-m", "export", str(checkpoint), "--to", str(repository)]
    subprocess.run([*command, "--target", target, "--precision", precision], check=True, stdout=subprocess.DEVNULL)
