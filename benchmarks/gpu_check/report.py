"""What the checks have found, as they go in a file of JSON lines, and for people in Markdown."""

import json
from collections import defaultdict
from pathlib import Path

from pydantic import BaseModel

from benchmarks.gpu_check.device import Found

RESULTS_FILE = "results.jsonl"
REPORT_FILE = "report.md"


class Result(BaseModel):
    """A line."""

    check: str
    found: Found = {}
    error: str | None = None
    """why the check found no more"""

    def append(self, folder: Path) -> None:
        with (folder / RESULTS_FILE).open("a") as file:
            file.write(self.model_dump_json() + "\n")


def read_results(folder: Path) -> list[Result]:
    """Those of all checks so far; a last line that was cut off is left out."""
    lines = (folder / RESULTS_FILE).read_text().splitlines(keepends=True)
    return [Result.model_validate_json(line) for line in lines if line.endswith("\n")]


def write_report(folder: Path) -> Path:
    """A table per check."""
    rows: dict[str, list[Result]] = defaultdict(list)
    for result in read_results(folder):
        rows[result.check].append(result)
    text = "\n".join(line for check, results in rows.items() for line in _section(check, results))
    path = folder / REPORT_FILE
    path.write_text(text + "\n")
    return path


def _section(check: str, results: list[Result]) -> list[str]:
    found = [result.found for result in results if result.error is None]
    names = list(dict.fromkeys(name for row in found for name in row))
    lines = [f"## {check}", ""]
    if names:
        lines += [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
        lines += [f"| {' | '.join(_cell(row.get(name)) for name in names)} |" for row in found]
        lines.append("")
    for result in results:
        if result.error is not None:
            lines += ["Failed:", "", "```", result.error, "```", ""]
    return lines


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
