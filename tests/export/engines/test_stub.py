"""stubs/tensorrt.pyi, which the runner is checked against, says what the real library has."""

import ast
from pathlib import Path

import pytest

from export.engines.library import LibraryName, load_library

STUB = Path(__file__).parents[3] / "stubs" / "tensorrt.pyi"
CLASSES = {node.name: node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ClassDef)}


def members(kind: ast.ClassDef) -> list[str]:
    names = []
    for node in kind.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


@pytest.mark.parametrize("name", CLASSES)
def test_the_library_has_what_the_stub_says(name: str) -> None:
    trt = load_library(LibraryName.TENSORRT_RTX).module
    found = getattr(trt, name)
    wanted = [member for member in members(CLASSES[name]) if member != "__buffer__"]  # of Python 3.12
    assert [member for member in wanted if not hasattr(found, member)] == []
