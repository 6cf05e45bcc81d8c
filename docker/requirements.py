"""Prints what pip is to install before there is any code: `python requirements.py pyproject.toml [EXTRA ...]`."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def requirements(project: dict[str, Any], extras: list[str]) -> Iterator[str]:
    """The project's own requirements and those of `extras`, which may name further ones of its extras.

    Raises KeyError for an extra that there is not.
    """
    yield from project["dependencies"]
    own = re.compile(rf"{re.escape(project['name'])}\[([^]]+)]")
    seen = set()
    while extras:
        extra, *extras = extras
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in project["optional-dependencies"][extra]:
            if named := own.fullmatch(requirement):
                extras += re.split(r"\s*,\s*", named[1])
            else:
                yield requirement


if __name__ == "__main__":
    project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
    sys.stdout.writelines(f"{requirement}\n" for requirement in requirements(project, sys.argv[2:]))
