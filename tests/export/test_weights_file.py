"""The file of weights: written once, whole or not at all, and found again by an export that goes on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from export.options import Options
from export.staging import kept_weights, staged
from export.weights_file import WEIGHTS_FILE, Entry, keep_weights, write_weights

from .one import export_one, of_embedding

TENSORS = {
    "table": torch.randn(7, 5).to(torch.float16),
    "linear": torch.randn(6, 4),
    "norm": torch.randn(3).to(torch.float8_e5m2),
}
ENTRIES = [
    Entry("linear", True, torch.bfloat16, (4, 6)),
    Entry("table", False, torch.bfloat16, (7, 5)),
    Entry("norm", False, torch.float32, (1, 3)),
]


def write(folder: Path, kept: Path | None = None, made_from: str = "a checkpoint") -> None:
    folder.mkdir(exist_ok=True)
    places = write_weights(folder, ENTRIES, TENSORS, made_from, kept, lambda progress: None)
    content = (folder / WEIGHTS_FILE).read_bytes()
    for entry in ENTRIES:
        place = places[entry.name]
        values = torch.frombuffer(bytearray(content[place.offset :][: place.length]), dtype=entry.dtype)
        tensor = TENSORS[entry.parameter].to(entry.dtype)
        assert torch.equal(values, (tensor.t() if entry.is_transposed else tensor).flatten())
        assert place.offset % entry.dtype.itemsize == 0


def test_it_is_a_safetensors_file_in_the_form_that_the_graph_wants(tmp_path: Path) -> None:
    write(tmp_path)
    written = load_file(tmp_path / WEIGHTS_FILE)
    assert {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in written.items()} == {
        "linear.transposed": (torch.bfloat16, (4, 6)),
        "table": (torch.bfloat16, (7, 5)),
        "norm": (torch.float32, (1, 3)),
    }
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS_FILE]


def test_it_is_taken_again_where_it_was_made_from_the_same(tmp_path: Path) -> None:
    write(tmp_path / "interrupted")
    number = (tmp_path / "interrupted" / WEIGHTS_FILE).stat().st_ino
    kept = tmp_path / "kept"
    assert keep_weights(tmp_path / "interrupted", kept)
    write(tmp_path / "other", kept, made_from="another checkpoint")
    assert (tmp_path / "other" / WEIGHTS_FILE).stat().st_ino != number
    write(tmp_path / "again", kept)
    assert (tmp_path / "again" / WEIGHTS_FILE).stat().st_ino == number
    assert list(kept.iterdir()) == []


def test_half_of_it_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "interrupted")
    kept = tmp_path / "kept"
    keep_weights(tmp_path / "interrupted", kept)
    (file,) = kept.iterdir()
    os.truncate(file, file.stat().st_size - 1)
    write(tmp_path / "again", kept)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / WEIGHTS_FILE).write_bytes(b"half")
    (tmp_path / "damaged" / f"{WEIGHTS_FILE}.part").write_bytes(b"half")
    assert not keep_weights(tmp_path / "damaged", kept)


# An export that ends by kill -9 at a stage, or while so many bytes of weights are written.
KILLED = """
import os, signal, sys
from pathlib import Path
from export import weights_file
from export.options import Options
from tests.export.one import export_one, of_embedding

checkpoint, repository, when = sys.argv[1:]
blocks = weights_file._blocks

def die(stage):
    if when in stage:
        os.kill(os.getpid(), signal.SIGKILL)

def write_and_die(tensor, entry):
    yield from blocks(tensor, entry)
    die("blocks")

weights_file._blocks = write_and_die
checkpoint = Path(checkpoint)
export_one(checkpoint, of_embedding(checkpoint), Path(repository), Options(external_above=0), die)
"""


def kill(checkpoint: Path, repository: Path, when: str) -> None:
    command = [sys.executable, "-c", KILLED, str(checkpoint), str(repository), when]
    done = subprocess.run(command, timeout=300, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("when", ["blocks", "comparing"])
def test_an_export_that_was_killed_goes_on(when: str, tiny_checkpoint: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    kill(tiny_checkpoint, repository, when)
    assert list(repository.iterdir()) == []
    with staged(repository) as staging:  # the next one finds what is left
        del staging
        kept = [file.stat().st_ino for file in kept_weights(repository).glob("*")]
        assert len(kept) == (when == "comparing")
        (made,) = export_one(tiny_checkpoint, of_embedding(tiny_checkpoint), repository, Options(external_above=0))
    file = repository / "wan_text_encoder" / "1" / WEIGHTS_FILE
    assert made.source.files[WEIGHTS_FILE] == file.stat().st_size
    assert [file.stat().st_ino] == kept or when == "blocks"
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


def test_ctrl_c_leaves_what_is_whole_and_nothing_else(tiny_checkpoint: Path, tmp_path: Path) -> None:
    def interrupt(stage: str) -> None:
        if "comparing" in stage:
            raise KeyboardInterrupt

    repository, family = tmp_path / "repository", of_embedding(tiny_checkpoint)
    with pytest.raises(KeyboardInterrupt):
        export_one(tiny_checkpoint, family, repository, Options(external_above=0), interrupt)
    (kept,) = kept_weights(repository).iterdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".repository.weights", "repository"]
    header = kept.read_bytes()[8:4096].partition(b"}}")[0] + b"}}"
    assert json.loads(header)["__metadata__"]["made_from"] == kept.stem


def test_another_checkpoint_s_export_clears_them_away(tiny_checkpoint: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    write(tmp_path / "interrupted")
    keep_weights(tmp_path / "interrupted", kept_weights(repository))
    export_one(tiny_checkpoint, of_embedding(tiny_checkpoint), repository, Options())
    assert not kept_weights(repository).exists()
