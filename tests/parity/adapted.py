"""A checkpoint with adapters, in this project and in diffusers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.ensemble.in_process import InProcess
from pipelines.lora.folder import LoraFolder
from pipelines.lora.targets import Targets, read_targets
from protocol.sampling import AnySpec
from tests.adapters import Matrices
from tests.conftest import Exported

from .compared import PROMPT, TOLERANCE
from .references import Reference, open_reference


@dataclass
class Loaded:
    """One `load_lora_weights`."""

    file: str
    weight: float = 1.0
    low: bool = True
    high: bool = True


def named(matrices: Matrices, prefix: str) -> dict[str, torch.Tensor]:
    return {
        f"{prefix}{layer}.lora_{letter}.weight": matrix
        for layer, pair in matrices.items()
        for letter, matrix in zip("AB", pair, strict=True)
    }


class Adapted:
    """A checkpoint with a folder of adapters, in both implementations."""

    def __init__(self, exported: Exported, kind: Any, folder: Path) -> None:
        self.folder = folder
        self.exported = exported
        self.in_process = InProcess(exported.repository, exported.model, LoraFolder(folder))
        self.reference = open_reference(exported.checkpoint)
        self.pipeline = self.reference.pipeline(kind)

    def params(self, lora: Any, **fields: Any) -> AnySpec:
        return self.in_process.params(**{"prompt": PROMPT, "seed": 7, "lora": lora, **fields})

    def assert_equal(self, lora: Any, loaded: list[Loaded]) -> None:
        params = self.params(lora)
        names = []
        for i, one in enumerate(loaded):
            file = self.folder / one.file
            for suffix, wanted in (("high", one.high), ("low", one.low and hasattr(self.pipeline, "transformer_2"))):
                if wanted:
                    names.append((f"adapter_{i}_{suffix}", one.weight))
                    options = {"load_into_transformer_2": True} if suffix == "low" else {}
                    self.pipeline.load_lora_weights(
                        file.parent, weight_name=file.name, adapter_name=names[-1][0], **options
                    )
        self.pipeline.set_adapters(*map(list, zip(*names, strict=True)))
        try:
            self.compare(params, self.reference)
        finally:
            self.pipeline.unload_lora_weights()

    def assert_equals_merged(self, lora: Any, differences: Mapping[str, Tensor]) -> None:
        """With differences added to the weights of every transformer, by the parameters' names."""
        transformers = [self.pipeline.transformer, getattr(self.pipeline, "transformer_2", None)]
        parameters = [
            (transformer.get_parameter(name), difference)
            for transformer in transformers
            if transformer is not None
            for name, difference in differences.items()
        ]
        originals = [parameter.detach().clone() for parameter, _ in parameters]
        with torch.no_grad():
            for parameter, difference in parameters:
                parameter.add_(difference)
        try:
            self.compare(self.params(lora), self.reference)
        finally:
            with torch.no_grad():
                for (parameter, _), original in zip(parameters, originals, strict=True):
                    parameter.copy_(original)

    def compare(self, params: AnySpec, reference: Reference) -> None:
        expected = reference.frames(params, self.in_process.card.max_sequence_length)
        (made,) = self.in_process.frames(params)
        assert float(np.abs(made - expected).max()) <= TOLERANCE
        assert float(np.abs(made - self.plain()).max()) > 0.05, "the adapter shows no effect"

    def plain(self) -> NDArray[np.float32]:
        return self.in_process.frames(self.params(()))[0]


def targets_of(exported: Exported, family: str) -> Targets:
    return read_targets(exported.repository / "generate" / "1" / family)["transformer"]
