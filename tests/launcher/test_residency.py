"""Whether every model stays loaded, decided by what memory there is, and what does not fit at all."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.errors import SetupError
from launcher.residency import Choice, Gpu, Machine, Wanted, decide, find_gpu, parse_size
from pipelines.ensemble.memory import MemoryNeed
from protocol.model_card import ModelCard
from tests.conftest import Exported
from tests.launcher.conftest import Launched
from tests.model_cards import model_card

GB = 10**9


def wanted(job: int = GB, **weights: int) -> Wanted:
    """A checkpoint, sizes in GB; a job's largest call takes `job` bytes."""
    return Wanted(model_card(), {name: size * GB for name, size in weights.items()}, MemoryNeed({"transformer": job}))


A14B = wanted(text=11, transformer=28, transformer_2=28, vae=1)


@pytest.mark.parametrize(
    ("available", "choice", "swaps"),
    [
        (100, Choice.AUTO, False),
        (80, Choice.AUTO, True),
        (100, Choice.SWAP, True),
        (80, Choice.RESIDENT, False),
    ],
)
def test_models_come_and_go_where_not_all_fit_beside_a_job(available: int, choice: Choice, swaps: bool) -> None:
    residency = decide(choice, None, [A14B], Machine(None, available * GB))

    assert residency.swaps is swaps
    assert residency.budget == int(0.8 * available * GB) - GB
    assert f"residency {'swap' if swaps else 'resident'}" in residency.reason
    assert "the weights take 68.0 GB" in residency.reason


def test_a_limit_stands_for_what_the_machine_has() -> None:
    assert decide(Choice.AUTO, 68 * GB, [A14B]).swaps is False
    assert decide(Choice.AUTO, 68 * GB - 1, [A14B]).swaps is True


def test_what_checkpoints_share_counts_once() -> None:
    other = wanted(text=11, i2v_transformer=28)
    assert decide(Choice.AUTO, 96 * GB, [A14B, other]).swaps is False


def test_a_gpu_has_its_memory_less_what_processes_and_a_job_take() -> None:
    budget, how = Machine(Gpu("NVIDIA H100", 80 * GB), available=0).budget([A14B])

    processes = (1 + 4) * 512 * 2**20 + 512 * 2**20
    assert budget == 80 * GB - processes - int(1.25 * GB)
    assert how == "NVIDIA H100 has 80.0 GB, 3.2 GB for processes, 1.2 GB for a job of the default size"


def test_a_model_that_never_fits_is_refused_with_the_numbers_and_what_to_do() -> None:
    reason = decide(Choice.AUTO, 24 * GB, [A14B]).why_not(A14B, {})
    assert reason is not None
    assert "the weights of transformer take 28.0 GB" in reason
    assert "24.0 GB" in reason
    assert "smaller precision" in reason
    assert decide(Choice.AUTO, 28 * GB, [A14B]).why_not(A14B, {}) is None


def test_where_everything_stays_loaded_one_more_is_refused_when_it_does_not_fit_beside_the_others() -> None:
    residency = decide(Choice.RESIDENT, 70 * GB, [A14B])
    other = wanted(text=11, i2v_transformer=28)

    assert residency.why_not(A14B, {}) is None
    reason = residency.why_not(other, A14B.weights)
    assert reason is not None
    assert "96.0 GB with those that are loaded, and may take 70.0 GB" in reason
    assert decide(Choice.SWAP, 70 * GB, [A14B]).why_not(other, A14B.weights) is None


def test_the_files_of_a_checkpoint_say_what_it_takes(toy: Exported) -> None:
    found = Wanted.of(ModelCard.read(toy.repository / "generate" / "1" / "wan_t2v"), toy.repository)

    graph = (toy.repository / "wan_t2v_transformer" / "1" / "model.onnx").stat().st_size
    assert found.weights["wan_t2v_transformer"] == graph
    assert found.weights.keys() == {"wan_text_encoder", "wan_t2v_transformer", "wan_t2v_transformer_2", "wan_vae"}
    assert found.need.total > 0


@pytest.mark.parametrize(("text", "size"), [("24GB", 24 * GB), ("24 GiB", 24 * 2**30), ("1.5gb", 1_500_000_000)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, "--weights-memory") == size


@pytest.mark.parametrize("text", ["", "24", "GB", "-1GB", "0GB", "24 apples", "²GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SetupError, match="--weights-memory: must be a size such as 24GB"):
        parse_size(text, "--weights-memory")


@pytest.mark.parametrize(
    ("script", "gpu"),
    [
        ("echo 'NVIDIA H100 80GB HBM3, 81559'; echo 'NVIDIA L4, 23034'", Gpu("NVIDIA H100 80GB HBM3", 81559 * 2**20)),
        ("echo 'No devices were found'; exit 6", None),
        ("echo Failed to initialize NVML", None),
        ("true", None),
    ],
)
def test_the_gpu_is_the_first_that_nvidia_smi_shows(
    script: str, gpu: Gpu | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert find_gpu() == gpu


def test_a_server_does_not_start_for_what_never_fits(toy: Exported, launch: Callable[..., Launched]) -> None:
    launched = launch(toy.repository, "--no-frontend", "--weights-memory", "5MB")

    assert launched.wait_for_exit() == 1
    assert "toy-wan-t2v cannot be served: the weights of wan_t2v_transformer take 8.3 MB" in launched.output
    assert "Traceback" not in launched.output
