"""Which of the project's own files a module is made of: its own, and those that it imports, and they import."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def imported_files(modules: Iterable[str]) -> list[Path]:
    """The source files of these modules and of all of ours that they import, sorted.

    Imports under `if TYPE_CHECKING` do not count: nothing is computed by them.
    """
    files: set[Path] = set()
    waiting = [file for module in modules for file in _files_of(module)]
    while waiting:
        file = waiting.pop()
        if file not in files:
            files.add(file)
            waiting += _imports_of(file)
    return sorted(files)


@cache
def _imports_of(file: Path) -> list[Path]:
    names = _names(ast.parse(file.read_bytes()).body)
    return [found for name in names for found in _files_of(name)]


def _names(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """What is imported, also within functions; of `from a import b` both `a` and `a.b`, which may be a module."""
    for statement in statements:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files_of(module: str) -> list[Path]:
    """The module's file and its packages'; none for what is not ours."""
    parts = module.split(".")
    packages = [_ROOT.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts) + 1)]
    if not packages[0].is_file():
        return []
    own = _ROOT.joinpath(*parts).with_suffix(".py")
    return [file for file in (*packages, own) if file.is_file()]
