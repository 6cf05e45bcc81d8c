"""GPUs by name, with the memory that `nvidia-smi` shows, or by the size of their memory alone."""

import difflib
import re
from dataclasses import dataclass

from export.errors import PlanError
from protocol.memory_size import parse_memory_size

_MIB = 2**20
_NOISE = re.compile(
    r"\b(nvidia|geforce|tesla|quadro|rtx|gtx|graphics|gpu|hbm\d?e?|sxm\d?|pcie|blackwell|generation|server|workstation"
    r"|edition)\b"
)
_MEMORY = re.compile(r"\b(\d+)\s*gi?b\b")
_TOLERANCE = 0.1
"""between what a GPU is sold as and what it shows"""
_BFLOAT16_FROM = (8, 0)
_CUDA_13_FROM = (7, 5)


@dataclass(frozen=True)
class Gpu:
    """What a plan is made for."""

    name: str
    memory: int
    """bytes, before a process uses any"""
    capability: tuple[int, int] | None
    """CUDA compute capability; None where only the memory is known, which is taken for a recent GPU"""

    @property
    def has_bfloat16(self) -> bool:
        return self.capability is None or self.capability >= _BFLOAT16_FROM


def _gpu(name: str, memory: int, capability: tuple[int, int]) -> Gpu:
    """Memory in MiB."""
    return Gpu(name, memory * _MIB, capability)


GPUS = (
    _gpu("V100 16GB", 16384, (7, 0)),
    _gpu("V100 32GB", 32768, (7, 0)),
    _gpu("T4", 15360, (7, 5)),
    _gpu("RTX 2080 Ti", 11264, (7, 5)),
    _gpu("RTX 8000", 49152, (7, 5)),
    _gpu("A100 40GB", 40960, (8, 0)),
    _gpu("A100 80GB", 81920, (8, 0)),
    _gpu("A10", 23028, (8, 6)),
    _gpu("A10G", 23028, (8, 6)),
    _gpu("A16", 15356, (8, 6)),
    _gpu("A40", 46068, (8, 6)),
    _gpu("A4000", 16376, (8, 6)),
    _gpu("A5000", 24564, (8, 6)),
    _gpu("A6000", 49140, (8, 6)),
    _gpu("RTX 3060 8GB", 8192, (8, 6)),
    _gpu("RTX 3060 12GB", 12288, (8, 6)),
    _gpu("RTX 3060 Ti", 8192, (8, 6)),
    _gpu("RTX 3070", 8192, (8, 6)),
    _gpu("RTX 3070 Ti", 8192, (8, 6)),
    _gpu("RTX 3080 10GB", 10240, (8, 6)),
    _gpu("RTX 3080 12GB", 12288, (8, 6)),
    _gpu("RTX 3080 Ti", 12288, (8, 6)),
    _gpu("RTX 3090", 24576, (8, 6)),
    _gpu("RTX 3090 Ti", 24564, (8, 6)),
    _gpu("L4", 23034, (8, 9)),
    _gpu("L40", 46068, (8, 9)),
    _gpu("L40S", 46068, (8, 9)),
    _gpu("RTX 4000 Ada", 20475, (8, 9)),
    _gpu("RTX 5000 Ada", 32760, (8, 9)),
    _gpu("RTX 6000 Ada", 49140, (8, 9)),
    _gpu("RTX 4060", 8188, (8, 9)),
    _gpu("RTX 4060 Ti 8GB", 8188, (8, 9)),
    _gpu("RTX 4060 Ti 16GB", 16380, (8, 9)),
    _gpu("RTX 4070", 12282, (8, 9)),
    _gpu("RTX 4070 Super", 12282, (8, 9)),
    _gpu("RTX 4070 Ti", 12282, (8, 9)),
    _gpu("RTX 4070 Ti Super", 16376, (8, 9)),
    _gpu("RTX 4080", 16376, (8, 9)),
    _gpu("RTX 4080 Super", 16376, (8, 9)),
    _gpu("RTX 4090", 24564, (8, 9)),
    _gpu("RTX 5060", 8151, (12, 0)),
    _gpu("RTX 5060 Ti 8GB", 8151, (12, 0)),
    _gpu("RTX 5060 Ti 16GB", 16311, (12, 0)),
    _gpu("RTX 5070", 12227, (12, 0)),
    _gpu("RTX 5070 Ti", 16303, (12, 0)),
    _gpu("RTX 5080", 16303, (12, 0)),
    _gpu("RTX 5090", 32607, (12, 0)),
    _gpu("RTX PRO 6000", 97887, (12, 0)),
    _gpu("H100", 81559, (9, 0)),
    _gpu("H100 NVL", 95830, (9, 0)),
    _gpu("H20", 97871, (9, 0)),
    _gpu("H200", 143771, (9, 0)),
    _gpu("GH200", 97871, (9, 0)),
    _gpu("B200", 183359, (10, 0)),
)


def find_gpu(text: str) -> Gpu:
    """The GPU of that name, however it is written, or one with that much memory: `RTX 4090`, `24GB`, `24GiB`.

    Raises:
        PlanError: no such GPU is known, or several are, or nothing can run on it; the message says which there are.
    """
    text = text.strip()
    memory = parse_memory_size(text)
    if memory is None:
        return _named(text)
    if memory < 1:
        raise PlanError(f"--gpu {text}: a GPU has more than 0 bytes of memory")
    return Gpu(text, memory, None)


def _named(text: str) -> Gpu:
    plain, memory = _plain(text)
    found = [gpu for gpu in GPUS if _plain(gpu.name)[0] == plain]
    if memory is not None and found:
        of_size = [gpu for gpu in found if abs(gpu.memory / 2**30 - memory) <= _TOLERANCE * memory]
        if not of_size:
            raise PlanError(f"--gpu {text}: of that name there are {_names(found)}")
        found = of_size
    if len(found) > 1:
        raise PlanError(f"--gpu {text}: which one? {_names(found)}")
    if not found:
        raise PlanError(_unknown(text, plain))
    (gpu,) = found
    if gpu.capability and gpu.capability < _CUDA_13_FROM:
        has, needs = (f"{major}.{minor}" for major, minor in (gpu.capability, _CUDA_13_FROM))
        raise PlanError(
            f"{gpu.name} has compute capability {has}, and CUDA 13, which onnxruntime-gpu and TensorRT are built on, "
            f"begins at {needs}: nothing here runs on it"
        )
    return gpu


def _unknown(text: str, plain: str) -> str:
    names = {_plain(gpu.name)[0]: gpu.name for gpu in GPUS}
    close = difflib.get_close_matches(plain, names, n=4, cutoff=0.5)
    listed = ", ".join(names[name] for name in close) if close else _names(GPUS)
    meant = "did you mean" if close else "known are"
    return f"--gpu {text}: no such GPU is known; {meant} {listed}? Or give its memory, such as 24GB or 24GiB"


def _names(gpus: "list[Gpu] | tuple[Gpu, ...]") -> str:
    return ", ".join(gpu.name for gpu in gpus)


def _plain(name: str) -> tuple[str, int | None]:
    """The letters and numbers that tell a GPU, and its memory in GB, if the name has it."""
    lowered = re.sub(r"\b(rtx|gtx)(?=\d|pro\b)", r"\1 ", name.lower().replace("-", " ").replace("_", " "))
    memory = _MEMORY.search(lowered)
    bare = _NOISE.sub(" ", _MEMORY.sub(" ", lowered))
    return re.sub(r"[^a-z0-9]", "", bare), int(memory[1]) if memory else None
