"""What models run with and where: what may be asked for, and what a machine's driver tells."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.placement import CPU, Device, EngineName, parse_device, parse_engine
from runtime import placement
from runtime.engine import EngineUnusable
from runtime.engine_plan import EnginePlan, EnginePlans
from runtime.gpu import Gpu, find_gpu
from runtime.placement import check_tensorrt, choose, onnx_device, sampling_device
from runtime.tensorrt_library import LibraryName, is_installed

GPUS = [Gpu(index, f"GPU {index}", "8.9", 2**34) for index in range(2)]


def test_devices_and_engines_by_name() -> None:
    assert (parse_device("auto"), parse_device("cpu")) == (None, CPU)
    assert (parse_device("cuda"), parse_device("cuda:3")) == (Device("cuda", 0), Device("cuda", 3))
    assert [str(Device("cuda", 3)), str(CPU)] == ["cuda:3", "cpu"]
    assert parse_engine("tensorrt") is EngineName.TENSORRT


@pytest.mark.parametrize("text", ["", "gpu", "CUDA:0", "cuda:", "cuda:-1", "cuda:0 ", "cuda:٣", "0", "cpu:0"])
def test_no_device(text: str) -> None:
    with pytest.raises(ValueError, match=r"device must be auto, cpu or cuda:N"):
        parse_device(text)


@pytest.mark.parametrize("text", ["", "trt", "TensorRT", "onnx"])
def test_no_engine(text: str) -> None:
    with pytest.raises(ValueError, match=r"engine must be auto, onnxruntime, tensorrt, not"):
        parse_engine(text)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that a machine has these."""

    def pretend(gpus: int = 1, onnxruntime_gpu: bool = True, torch: str = "2.13.0", tensorrt: bool = False) -> None:
        def find(index: int) -> Gpu:
            if index >= gpus:
                raise EngineUnusable("there is no such GPU")
            return GPUS[index]

        monkeypatch.setattr(placement, "find_gpu", find)
        monkeypatch.setattr(placement, "has_cuda_provider", lambda: onnxruntime_gpu)
        monkeypatch.setattr(placement, "version", lambda package: torch)
        monkeypatch.setattr(placement, "_has_tensorrt", lambda: tensorrt)

    return pretend


def test_auto_is_the_first_gpu_that_models_and_sampling_can_both_use(machine: Callable[..., None]) -> None:
    machine()
    assert onnx_device(None) == sampling_device(None) == Device("cuda")
    for lacking in ({"gpus": 0}, {"torch": "2.13.0+cpu"}):
        machine(**lacking)
        assert onnx_device(None) == sampling_device(None) == CPU
    machine(onnxruntime_gpu=False)
    assert onnx_device(None) == sampling_device(None) == CPU
    machine(onnxruntime_gpu=False, tensorrt=True)
    assert (onnx_device(None), sampling_device(None)) == (CPU, Device("cuda"))


def test_what_is_asked_for_is_had_or_refused(machine: Callable[..., None]) -> None:
    machine(gpus=2)
    second = Device("cuda", 1)
    assert onnx_device(CPU) == sampling_device(CPU) == CPU
    assert onnx_device(second) == sampling_device(second) == second
    for lacking in ({"gpus": 1}, {"gpus": 2, "torch": "2.13.0+cpu"}):
        machine(**lacking)
        for place in (onnx_device, sampling_device):
            with pytest.raises(EngineUnusable, match=r"no such GPU|torch here is its build for the CPU"):
                place(second)


def test_tensorrt_needs_a_gpu_and_one_of_its_libraries(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: set[str] = {"tensorrt-rtx"}
    monkeypatch.setattr(placement, "is_installed", installed.__contains__)
    machine(gpus=2)
    check_tensorrt(None)
    check_tensorrt(Device("cuda", 1))
    with pytest.raises(EngineUnusable, match=r"TensorRT runs on GPUs only"):
        check_tensorrt(CPU)
    for gpus, torch in ((0, "2.13.0"), (1, "2.13.0+cpu")):
        machine(gpus=gpus, torch=torch)
        with pytest.raises(EngineUnusable, match=r"no such GPU|torch here is its build for the CPU"):
            check_tensorrt(None)
    machine()
    installed.clear()
    message = (
        r"neither tensorrt nor tensorrt-rtx is installed: pip install tensorrt-cu13-bindings, .* or pip install 'tri"
    )
    with pytest.raises(EngineUnusable, match=message):
        check_tensorrt(None)


def test_a_library_is_there_whose_bindings_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_installed(LibraryName.TENSORRT_RTX)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not any(map(is_installed, LibraryName))


def test_without_engines_auto_is_onnx_runtime(machine: Callable[..., None], tmp_path: Path) -> None:
    machine()
    chosen = choose(tmp_path, EngineName.AUTO, None)
    assert (chosen.device, chosen.tensorrt, chosen.remark) == (Device("cuda"), None, None)
    with pytest.raises(EngineUnusable, match=r"plan\.json cannot be read: build the engines"):
        choose(tmp_path, EngineName.TENSORRT, None)


@pytest.mark.parametrize(
    ("library", "graphs", "message"),
    [
        ("tensorrt-rtx", ("whole_first",), r"has no engine of whole_next\.onnx: build it with"),
        ("tensorrt-9", ("whole_first", "whole_next"), r"there is no library 'tensorrt-9': build the engines again"),
    ],
    ids=["unfinished", "unknown"],
)
def test_engines_that_are_unfinished_or_strange_are_passed_over(
    library: str,
    graphs: tuple[str, ...],
    message: str,
    machine: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    machine()
    monkeypatch.setattr(placement, "load", lambda name: SimpleNamespace(name=name, version="1"))
    engines = []
    for name in ("whole_first", "whole_next"):
        (tmp_path / f"{name}.onnx").touch()
    for name in graphs:
        (tmp_path / f"{name}.plan").touch()
        engines.append(EnginePlan(graph=f"{name}.onnx", fingerprint="f", engine=f"{name}.plan", profiles=()))
    plans = EnginePlans(library=library, version="1", capabilities=("8.9",), engines=tuple(engines))
    plans.write(tmp_path)
    with pytest.raises(EngineUnusable, match=message):
        choose(tmp_path, EngineName.TENSORRT, None)
    remark = choose(tmp_path, EngineName.AUTO, None).remark
    assert remark is not None
    assert remark.startswith("not on TensorRT: ")


class FakeDriver:
    """libcuda of a machine with one GPU, whose functions fail on demand."""

    def __init__(self, version: int = 13000, gpus: int = 1, **failing: int) -> None:
        self._version = version
        self._gpus = gpus
        self._failing = failing

    def __getattr__(self, function: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            if function in self._failing:
                return self._failing[function]
            results = {
                "cuDriverGetVersion": self._version,
                "cuDeviceGetCount": self._gpus,
                "cuDeviceTotalMem_v2": 2**34,
            }
            if function in results:
                arguments[0]._obj.value = results[function]
            elif function == "cuDeviceGetAttribute":
                arguments[0]._obj.value = {75: 8, 76: 9}[arguments[1]]
            elif function == "cuDeviceGetName":
                arguments[0].value = b"A GPU"
            return 0

        return call


def test_the_driver_tells_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeDriver())
    assert find_gpu() == Gpu(0, "A GPU", "8.9", 2**34)


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        (FakeDriver(version=12080), r"driver here is for CUDA 12\.8, and CUDA 13\.0 is needed: install driver 580 or"),
        (FakeDriver(cuInit=100), r"no GPU that CUDA can use here: 0 GPUs can be used"),
        (FakeDriver(cuInit=803), r"driver here does not start \(cuInit: 803\): see `nvidia-smi`"),
        (FakeDriver(gpus=0), r"no GPU cuda:0 here: 0 GPUs can be used"),
        (FakeDriver(cuDeviceGet=999), r"driver here fails \(cuDeviceGet: 999\)"),
    ],
)
def test_a_driver_that_is_of_no_use(driver: FakeDriver, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    with pytest.raises(EngineUnusable, match=message):
        find_gpu()


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: no such file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(
        EngineUnusable, match=r"no NVIDIA driver here \(libcuda\.so\.1: .*\): models can run on the CPU"
    ):
        find_gpu()
