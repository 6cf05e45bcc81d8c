"""Fingerprints change with what the graphs depend on, and with nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from export.checkpoint import read_json
from export.options import Options, Target
from export.source import Source, component_fingerprint, exporter_fingerprint, read_source


@pytest.fixture
def component(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint / "vae", tmp_path / "vae"))


def edit(component: Path, **changes: object) -> None:
    path = component / "config.json"
    path.write_text(json.dumps(read_json(path) | changes))


def test_who_wrote_the_configuration_does_not_count(component: Path) -> None:
    before = component_fingerprint(component)
    edit(component, _diffusers_version="0.35.0", _name_or_path="/elsewhere", transformers_version="4.51")
    (component / "README.md").write_text("hello")
    assert component_fingerprint(component) == before


def test_configuration_and_weights_count(component: Path) -> None:
    fingerprints = [component_fingerprint(component)]
    edit(component, latents_mean=[0.0] * 16)
    fingerprints.append(component_fingerprint(component))
    weights = component / "diffusion_pytorch_model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    fingerprints.append(component_fingerprint(component))
    assert len(set(fingerprints)) == 3


def test_options_count_that_change_the_files(component: Path) -> None:
    assert exporter_fingerprint(Options(model_id="another")) == exporter_fingerprint(Options())
    others = (Options(target=Target.ONNX), Options(external_above=1))
    assert len({exporter_fingerprint(options) for options in (Options(), *others)}) == 3


def test_files_serve_while_all_of_them_are_there(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"1234")
    source = Source(component="a", exporter="b", files={"model.onnx": 4}, parameters=1, max_difference=0.0)
    source.write(tmp_path)
    assert read_source(tmp_path) == source
    assert source.serves(tmp_path, "a", "b")
    assert not source.serves(tmp_path, "a", "of another version")
    assert not source.serves(tmp_path, "other weights", "b")
    (tmp_path / "model.onnx").write_bytes(b"123")
    assert not source.serves(tmp_path, "a", "b")


@pytest.mark.parametrize("text", [None, "", "{}", "[1]"])
def test_without_a_readable_one_nothing_is_known(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "source.json").write_text(text)
    assert read_source(tmp_path) is None
