"""What is said of models that come and go."""

from pathlib import Path

import pytest

from protocol.residency import SWAP_VARIABLE, Swap, weights_bytes


def write(folder: Path, **sizes: int) -> None:
    for name, size in sizes.items():
        (folder / name.replace("_", ".")).write_bytes(bytes(size))


def test_graphs_and_weights_count_and_what_is_said_of_them_does_not(tmp_path: Path) -> None:
    write(tmp_path, model_onnx=10, weights_data=1000, source_json=5, model_py=7)
    (tmp_path / "__pycache__").mkdir()
    assert weights_bytes(tmp_path) == 1010


@pytest.mark.parametrize(("engine", "expected"), [(900, 1010), (1100, 1100)])
def test_engines_are_loaded_in_place_of_the_graphs_that_they_were_made_of(
    engine: int, expected: int, tmp_path: Path
) -> None:
    write(tmp_path, model_onnx=10, weights_data=1000, model_plan=engine)
    assert weights_bytes(tmp_path) == expected


def test_without_the_variable_every_model_stays_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWAP_VARIABLE, raising=False)
    assert Swap.from_environment() is None
    monkeypatch.setenv(SWAP_VARIABLE, "")
    assert Swap.from_environment() is None

    swap = Swap(socket=Path("/tmp/swap.sock"), weights_bytes=5)
    monkeypatch.setenv(SWAP_VARIABLE, swap.model_dump_json())
    assert Swap.from_environment() == swap
