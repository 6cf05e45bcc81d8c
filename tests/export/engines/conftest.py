from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ONE_OF_EACH_FAMILY, Exports, run_module

IN_SHORT = "ti2v"
"""the layout that every run of the tests builds engines of; `make test-long` builds those of the others"""


@pytest.fixture(scope="session")
def for_gpus(exports: Exports) -> Path:
    """The repository of a tiny checkpoint in the form for GPUs and in bfloat16."""
    return _exported(exports, "for_gpus", (IN_SHORT,))


@pytest.fixture(scope="session")
def others_for_gpus(exports: Exports) -> Path:
    """The same of all other families."""
    return _exported(exports, "others_for_gpus", [layout for layout in ONE_OF_EACH_FAMILY if layout != IN_SHORT])


def _exported(exports: Exports, name: str, layouts: Sequence[str]) -> Path:
    checkpoints = [exports.tiny_checkpoint(layout) for layout in layouts]
    repository = exports.folder / name / "model_repository"
    with exports.once(f"{name}-exported", lock=name) as to_do:
        if to_do:
            run_module("export", *checkpoints, "--to", repository, "--target", "onnx")
    return repository
