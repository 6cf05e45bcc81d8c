"""The shapes of the published checkpoints, read once, and GPUs to plan for."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from export.options import Precision
from export.plan.checkpoint_shapes import read_shapes
from export.plan.gpus import find_gpu
from export.plan.residency import Plan, choose_precision, plan
from export.plan.shapes import Shapes, Size
from export.quiet import quiet_libraries

from .published import write_configurations

Planned = Callable[..., Plan]


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Shapes]:
    """Those of one of the published checkpoints, by name."""
    quiet_libraries()
    folder = tmp_path_factory.mktemp("configurations")
    return cache(lambda name: read_shapes(write_configurations(folder, name)))


@pytest.fixture(scope="session")
def planned(shapes: Callable[[str], Shapes]) -> Planned:
    """A plan: checkpoint, GPU, sizes; those of a checkpoint are its default and its largest usual one."""

    def make(name: str, gpu: str, *sizes: Size, precision: Precision | None = None) -> Plan:
        found = find_gpu(gpu)
        chosen = choose_precision(found, precision)
        read = shapes(name)
        usual = dict.fromkeys((read.geometry.default, read.geometry.largest))
        return plan(read, found, chosen, chosen, sizes or tuple(usual))

    return make


@pytest.fixture
def configurations(tmp_path: Path) -> Callable[[str], Path]:
    """A folder of configurations to break, by name."""
    return lambda name: write_configurations(tmp_path, name)
