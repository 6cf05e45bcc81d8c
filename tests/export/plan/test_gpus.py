"""GPUs are found however their names are written, and by their memory."""

import pytest

from export.errors import PlanError
from export.plan.gpus import GPUS, find_gpu


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("RTX 4090", "RTX 4090"),
        ("4090", "RTX 4090"),
        ("rtx4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("RTX 4070 Ti SUPER", "RTX 4070 Ti Super"),
        ("4070ti", "RTX 4070 Ti"),
        ("RTX 3060 12GB", "RTX 3060 12GB"),
        ("rtx-4060-ti-16gb", "RTX 4060 Ti 16GB"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
        ("A100-PCIE-40GB", "A100 40GB"),
        ("H100", "H100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("H200 141GB", "H200"),
        ("L40S 48 GB", "L40S"),
        ("l4", "L4"),
        ("Tesla T4", "T4"),
        ("RTX A6000", "A6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert find_gpu(text).name == name


@pytest.mark.parametrize("gpu", [gpu for gpu in GPUS if gpu.capability and gpu.capability >= (7, 5)], ids=str)
def test_each_is_found_by_its_own_name(gpu: object) -> None:
    assert find_gpu(gpu.name) is gpu  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "memory"),
    [("24GB", 24 * 10**9), ("24GiB", 24 * 2**30), ("24 gb", 24 * 10**9), ("1.5GB", 15 * 10**8), ("8192MiB", 2**33)],
)
def test_a_size(text: str, memory: int) -> None:
    gpu = find_gpu(text)
    assert (gpu.memory, gpu.capability, gpu.has_bfloat16) == (memory, None, True)


def test_what_they_can() -> None:
    assert not find_gpu("T4").has_bfloat16
    assert not find_gpu("2080 Ti").has_bfloat16
    assert find_gpu("RTX 3060 12GB").has_bfloat16
    assert find_gpu("RTX 4090").memory < 24 * 2**30 < find_gpu("24GiB").memory + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RTX 4095", "no such GPU is known; did you mean RTX 4090"),
        ("Radeon 7900", "no such GPU is known"),
        ("", "no such GPU is known"),
        ("24", "Or give its memory, such as 24GB or 24GiB"),
        ("A100", "which one? A100 40GB, A100 80GB"),
        ("RTX 3060", "which one? RTX 3060 8GB, RTX 3060 12GB"),
        ("RTX 4090 48GB", "of that name there are RTX 4090"),
        ("-24GB", "more than 0 bytes of memory"),
        ("0GB", "more than 0 bytes of memory"),
        ("V100 32GB", "compute capability 7.0, and CUDA 13, .* begins at 7.5"),
    ],
)
def test_others_are_refused_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=message.replace("?", r"\?")):
        find_gpu(text)
