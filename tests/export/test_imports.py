"""What a graph's code is made of: the modules that make it, and all of ours that they import."""

from pathlib import Path

from export.imports import imported_files
from export.wan_t2v import WAN_T2V
from tests.conftest import ROOT


def names(*modules: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in imported_files(modules)}


def test_what_is_imported_counts_wherever_it_lies() -> None:
    files = names("export.component")
    assert {"export/component.py", "export/lora.py", "export/attention.py", "pipelines/lora/targets.py"} <= files


def test_what_only_other_families_use_does_not() -> None:
    for part in WAN_T2V.parts:
        assert not {file for file in names(*part.modules) if "qwen" in file}
    assert "runtime/bands.py" in names("export.wan_vae")


def test_what_decides_no_graph_does_not() -> None:
    files = names("export.component", *(module for part in WAN_T2V.parts for module in part.modules))
    assert not {"export/cli.py", "export/staging.py", "export/exporter.py", "protocol/model_card.py"} & files


def test_other_libraries_are_not_looked_into() -> None:
    assert imported_files(["torch", "json"]) == []
    assert all(Path(ROOT) in path.parents for path in imported_files(["export.graph"]))
