"""Whether every model stays loaded, decided by what memory there is, and what does not fit at all."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from launcher.errors import SetupError
from launcher.residency import Choice, Machine, Wanted, decide, parse_size
from pipelines.ensemble.memory import MemoryNeed
from protocol.model_card import ModelCard
from protocol.placement import CPU
from runtime import placement
from runtime.engine_plan import EnginePlan, EnginePlans
from runtime.gpu import Gpu
from tests.conftest import Exported
from tests.launcher.conftest import Launched
from tests.model_cards import model_card

GB = 10**9


def wanted(job: int = GB, **weights: int) -> Wanted:
    """A checkpoint, sizes in GB; a job's largest call takes `job` bytes."""
    return Wanted(model_card(), {name: size * GB for name, size in weights.items()}, MemoryNeed({"transformer": job}))


CPU_MACHINE = Machine(None, 100 * GB)
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
    assert decide(Choice.AUTO, 68 * GB, [A14B], CPU_MACHINE).swaps is False
    assert decide(Choice.AUTO, 68 * GB - 1, [A14B], CPU_MACHINE).swaps is True


def test_what_checkpoints_share_counts_once() -> None:
    other = wanted(text=11, i2v_transformer=28)
    assert decide(Choice.AUTO, 96 * GB, [A14B, other], CPU_MACHINE).swaps is False


@pytest.mark.parametrize(("limit", "left_for_jobs"), [(None, GB), (30 * GB, 46 * GB)])
def test_a_gpu_has_its_memory_less_what_processes_and_a_job_take(limit: int | None, left_for_jobs: int) -> None:
    processes = (1 + 1) * 512 * 2**20 + 512 * 2**20
    machine = Machine(Gpu(0, "NVIDIA RTX PRO 6000", "12.0", 76 * GB + processes), available=0)
    residency = decide(Choice.SWAP, limit, [wanted(weights=90)], machine)

    assert machine.has_gpu
    assert residency.budget == (75 * GB if limit is None else limit)
    assert residency.job_bytes == left_for_jobs
    if limit is None:
        assert "NVIDIA RTX PRO 6000 has 77.6 GB, 1.6 GB for processes, 1.0 GB for a job" in residency.reason


def test_jobs_have_what_weights_that_stay_loaded_leave() -> None:
    machine = Machine(Gpu(0, "a GPU", "9.0", 100 * GB), available=0)
    room, _ = machine.room([A14B])
    assert decide(Choice.AUTO, None, [A14B], machine).job_bytes == room - 68 * GB
    assert decide(Choice.AUTO, None, [A14B], CPU_MACHINE).job_bytes is None


def test_a_model_that_never_fits_is_refused_with_the_numbers_and_what_to_do() -> None:
    reason = decide(Choice.AUTO, 24 * GB, [A14B], CPU_MACHINE).why_not(A14B, {})
    assert reason is not None
    assert "the weights of transformer take 28.0 GB" in reason
    assert "24.0 GB" in reason
    assert "smaller precision" in reason
    assert decide(Choice.AUTO, 28 * GB, [A14B], CPU_MACHINE).why_not(A14B, {}) is None


def test_a_model_that_streams_its_weights_fits_whatever_its_size() -> None:
    streaming = replace(A14B, streaming=("transformer", "transformer_2"))
    residency = decide(Choice.AUTO, 24 * GB, [streaming], CPU_MACHINE)
    assert residency.swaps
    assert residency.why_not(streaming, {}) is None
    reason = decide(Choice.AUTO, 10 * GB, [streaming], CPU_MACHINE).why_not(streaming, {})
    assert reason is not None
    assert "the weights of text take 11.0 GB" in reason
    assert "--weight-streaming" in reason


@pytest.mark.parametrize(("engine", "streaming"), [("", {"wan_t2v_transformer"}), ("onnxruntime", set())])
def test_only_engines_that_are_used_stream(
    engine: str, streaming: set[str], toy: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "find_gpu", lambda index: Gpu(index, "a GPU", "8.9", GB))
    monkeypatch.setattr(placement, "version", lambda package: "2.13.0")
    monkeypatch.setattr(placement, "has_cuda_provider", lambda: True)
    monkeypatch.setattr(placement, "load", lambda name: SimpleNamespace(name=name, version="1"))
    card = ModelCard.read(toy.repository / "generate" / "1" / "wan_t2v")
    for model in card.components.names():
        shutil.copytree(toy.repository / model, tmp_path / model)
    for model, streams in (("wan_t2v_transformer", True), ("wan_t2v_transformer_2", False)):
        plan = EnginePlan(graph="model.onnx", fingerprint="f", engine="model.plan", profiles=())
        (tmp_path / model / "1" / "model.plan").touch()
        EnginePlans(
            library="tensorrt-rtx", version="1", capabilities=("8.9",), streams_weights=streams, engines=(plan,)
        ).write(tmp_path / model / "1")
    assert set(Wanted.of(card, tmp_path, True, engine, "").streaming) == streaming
    assert not Wanted.of(card, tmp_path, False, engine, "").streaming


def test_where_everything_stays_loaded_one_more_is_refused_when_it_does_not_fit_beside_the_others() -> None:
    residency = decide(Choice.RESIDENT, 70 * GB, [A14B], CPU_MACHINE)
    other = wanted(text=11, i2v_transformer=28)

    assert residency.why_not(A14B, {}) is None
    reason = residency.why_not(other, A14B.weights)
    assert reason is not None
    assert "96.0 GB with those that are loaded, and may take 70.0 GB" in reason
    assert decide(Choice.SWAP, 70 * GB, [A14B], CPU_MACHINE).why_not(other, A14B.weights) is None


def test_the_files_of_a_checkpoint_say_what_it_takes(toy: Exported) -> None:
    found = Wanted.of(ModelCard.read(toy.repository / "generate" / "1" / "wan_t2v"), toy.repository, on_gpu=False)

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


def test_where_the_cpu_is_asked_for_its_memory_counts() -> None:
    assert not Machine.here(CPU).has_gpu


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_half_precision_takes_half_and_no_frame_is_cut(toy: Exported, precision: str) -> None:
    card = ModelCard.read(toy.repository / "generate" / "1" / "wan_t2v").model_copy(update={"precision": precision})
    on_cpu, on_gpu = (Wanted.of(card, toy.repository, on_gpu).need for on_gpu in (False, True))
    share = 1.25 * (0.5 if precision == "bfloat16" else 1)
    for model, size in on_cpu.calls.items():
        assert on_gpu.calls[model] == int(share * size)  # the toy's frames are too small to be cut
    assert on_gpu.held == on_cpu.held


def test_a_server_does_not_start_for_what_never_fits(toy: Exported, launch: Callable[..., Launched]) -> None:
    launched = launch(toy.repository, "--no-frontend", "--weights-memory", "5MB")

    assert launched.wait_for_exit() == 1
    assert "toy-wan-t2v cannot be served: the weights of wan_t2v_transformer take 8.3 MB" in launched.output
    assert "Traceback" not in launched.output
