"""Engines as a server finds them on a machine without a GPU, with the real library: why it cannot run them."""

import json
import shutil
from pathlib import Path

import pytest

from export.engines.builder import EngineBuilder
from export.engines.library import LibraryName, load_library
from export.engines.repository import EngineOptions, build_engines, plan_engines
from protocol.placement import CPU, Device, EngineName
from runtime.engine import EngineUnusable
from runtime.engine_plan import EnginePlans
from runtime.gpu import Gpu
from runtime.onnx_engine import open_engine
from runtime.placement import choose, has_cuda_provider
from runtime.tensorrt_engine import open_tensorrt_engine
from tests.runtime.test_tensorrt_engine import HostMemory

GPU = Gpu(0, "NVIDIA GeForce RTX 4090", "8.9", 24 * 2**30)


@pytest.fixture(scope="module")
def version(for_gpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version folder with a graph and its engine, for an RTX 4090."""
    repository = tmp_path_factory.mktemp("repository")
    model = "wan_text_encoder"
    for part in ("generate", model):
        shutil.copytree(for_gpus / part, repository / part)
    library = load_library(LibraryName.TENSORRT_RTX)
    options = EngineOptions(("8.9",))
    tasks = plan_engines(repository, options, [model])
    list(build_engines(tasks, library, options, EngineBuilder(library, options.capabilities), lambda task: None))
    return repository / model / "1"


@pytest.fixture
def rtx_4090(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU is there, and torch is the build that can use it."""
    monkeypatch.setattr("runtime.placement.find_gpu", lambda index: GPU)
    monkeypatch.setattr("runtime.placement.version", lambda package: "2.13.0")


def test_an_engine_for_this_gpu_is_what_a_model_runs_on(version: Path, rtx_4090: None) -> None:
    for engine in (EngineName.AUTO, EngineName.TENSORRT):
        placement = choose(version, engine, None)
        assert placement.device == Device("cuda")
        assert placement.remark is None
        assert placement.tensorrt is not None
        assert placement.tensorrt.library.name == "tensorrt-rtx"
    assert choose(version, EngineName.ONNXRUNTIME, CPU).tensorrt is None


def test_an_engine_for_another_gpu_is_refused_or_passed_over(
    version: Path, rtx_4090: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Gpu(0, "NVIDIA H100", "9.0", 80 * 2**30)
    monkeypatch.setattr("runtime.placement.find_gpu", lambda index: other)
    with pytest.raises(EngineUnusable, match=r"built for GPUs of compute capability 8\.9, and this one has 9\.0"):
        choose(version, EngineName.TENSORRT, None)
    placement = choose(version, EngineName.AUTO, None)
    assert placement.tensorrt is None
    assert placement.remark is not None
    assert "not on TensorRT: the engines were built for GPUs of compute capability 8.9" in placement.remark


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "1.0"}, r"built with tensorrt-rtx 1\.0, and this is tensorrt-rtx 1\.7"),
        ({"library": "tensorrt"}, r"tensorrt cannot be loaded .*: pip install tensorrt-cu13-bindings"),
    ],
)
def test_an_engine_for_another_library(
    change: dict[str, str], message: str, version: Path, rtx_4090: None, tmp_path: Path
) -> None:
    plan = json.loads((version / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(plan | change))
    with pytest.raises(EngineUnusable, match=message):
        choose(tmp_path, EngineName.TENSORRT, None)


def test_an_engine_that_is_not_there(version: Path, rtx_4090: None, tmp_path: Path) -> None:
    shutil.copy(version / "plan.json", tmp_path)
    with pytest.raises(
        EngineUnusable, match=r"has no engine of model\.onnx: build it with `python -m export\.engines`"
    ):
        choose(tmp_path, EngineName.TENSORRT, None)


def test_without_a_driver_the_library_says_so(version: Path, rtx_4090: None) -> None:
    files = choose(version, EngineName.TENSORRT, None).tensorrt
    assert files is not None
    assert EnginePlans.read(version) == files.plans
    with pytest.raises(EngineUnusable, match=r"model\.plan cannot be loaded: .*(?i:cuda)"):
        open_tensorrt_engine(version, files, Device("cuda"), lambda: None, 0, HostMemory())


@pytest.mark.skipif(has_cuda_provider(), reason="onnxruntime-gpu finds the driver missing")
def test_what_was_asked_for_and_is_not_there(version: Path) -> None:
    with pytest.raises(EngineUnusable, match=r"there is no NVIDIA driver here .*: models can run on the CPU only"):
        open_engine(version, engine="tensorrt")
    with pytest.raises(EngineUnusable, match=r"TensorRT runs on GPUs only: ask for the device auto or cuda:N"):
        open_engine(version, engine="tensorrt", device="cpu")
    with pytest.raises(
        EngineUnusable, match=r"ONNX Runtime here runs on the CPU only: install onnxruntime-gpu .*cuda:1"
    ):
        open_engine(version, engine="onnxruntime", device="cuda:1")
    said: list[str] = []
    with pytest.raises(ValueError, match="was exported for GPUs"):  # in bfloat16, which nothing computes here
        open_engine(version, say=said.append)
    assert said == [s for s in said if s.startswith("wan_text_encoder runs on ONNX Runtime, cpu, not on TensorRT")]
    assert len(said) == 1
