from pathlib import Path

import pytest

from tests.conftest import Exports, run_module


@pytest.fixture(scope="session")
def float32_for_gpus(exports: Exports) -> Path:
    """A repository of graphs for GPUs that were left in float32."""
    repository = exports.folder / "float32_for_gpus" / "model_repository"
    with exports.once("float32_for_gpus-exported", lock="float32_for_gpus") as to_do:
        if to_do:
            checkpoint = exports.tiny_checkpoint("one-expert")
            run_module("export", checkpoint, "--to", repository, "--target", "onnx", "--precision", "float32")
    return repository
