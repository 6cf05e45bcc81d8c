"""A plan as tables."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from export.plan.recommendation import gigabytes, recommend
from export.plan.residency import HOST_BYTES, LINKS, Plan, Residency, SizePlan, Verdict
from runtime.gpu import CONTEXT_BYTES, MARGIN, WORKSPACE_BYTES

_MIB = 2**20


def show(plan: Plan, console: Console) -> None:
    console.print(Group(*_parts(plan)))


def _parts(plan: Plan) -> Iterator[RenderableType]:
    gpu = plan.gpu
    capability = f", compute capability {gpu.capability[0]}.{gpu.capability[1]}" if gpu.capability else ""
    yield Text(f"{plan.model_id} in {plan.precision} on {gpu.name}: {gigabytes(gpu.memory)}{capability}", style="bold")
    yield _weights(plan)
    for size_plan in plan.sizes:
        yield Text(f"\n{size_plan.size}: {size_plan.tokens:,} tokens", style="bold")
        yield _calls(size_plan)
        yield _residencies(size_plan)
    yield Text()
    for note in plan.notes:
        yield Text(f"Note: {note}.")
    yield from (Text(line, style="dim") for line in _assumptions())
    yield Text(f"\n{recommend(plan)}", style="bold")


def _weights(plan: Plan) -> Table:
    table = _table("weights", "precision", "parameters", "bytes")
    stages = plan.sizes[0].stages
    for stage in stages:
        table.add_row(stage.name, stage.precision, _parameters(stage.parameters), gigabytes(stage.weights))
    table.add_row("together", "", "", gigabytes(sum(stage.weights for stage in stages)), style="bold")
    return table


def _calls(size_plan: SizePlan) -> Table:
    """What each way to compute a stage takes."""
    table = _table("computes", "how", "bytes", "of them caches")
    for stage in size_plan.stages:
        kept = gigabytes(stage.caches) if stage.caches else ""
        for number, call in enumerate(stage.calls):
            table.add_row("" if number else stage.name, call.how, gigabytes(call.working), kept)
    return table


def _residencies(size_plan: SizePlan) -> Table:
    table = _table(
        "residency", "peak at", "weights", "computing", "latents", "reserve", "together", "fits", "host memory"
    )
    for verdict in size_plan.verdicts:
        peak = verdict.peak
        table.add_row(
            verdict.residency,
            f"{peak.stage}, {peak.how}",
            *(gigabytes(size) for size in (peak.weights, peak.working, peak.held, peak.reserve, peak.total)),
            Text(_fits(verdict), style="green" if verdict.fits else "red"),
            _host(verdict),
        )
    return table


def _fits(verdict: Verdict) -> str:
    if not verdict.fits:
        return f"no, {gigabytes(-verdict.spare)} short"
    if verdict.streamed_per_step:
        return f"yes, {gigabytes(verdict.streamed_per_step)} per step"
    if verdict.residency is Residency.SWAP and verdict.loads_ahead:
        return "yes, next loads ahead"
    return "yes"


def _host(verdict: Verdict) -> str:
    if verdict.host == verdict.host_cached:
        return gigabytes(verdict.host)
    return f"{gigabytes(verdict.host)} to {gigabytes(verdict.host_cached)}"


def _assumptions() -> Iterator[str]:
    links = ", ".join(f"{link} {gigabytes(rate)}/s" for link, rate in LINKS.items())
    yield (
        f"Reserve: {CONTEXT_BYTES // _MIB} MiB of CUDA context for each model on the GPU and for `generate`, "
        f"{WORKSPACE_BYTES // _MIB} MiB of workspace, and a margin of {MARGIN:.0%} of what is computed."
    )
    yield "Computing: counted operator by operator, with fused attention; batch 2: both branches of guidance in a call."
    yield "One call is computed at a time, and gives back what it took."
    yield f"Streaming: {links}, estimated and not measured."
    yield (
        f"Host memory: {gigabytes(HOST_BYTES)} of processes and the largest model; with the second figure no weights "
        "are read from disk again."
    )


def _parameters(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.1f} M"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if column in _NUMBERS else "left", no_wrap=number == 0)
    return table


_NUMBERS = {"parameters", "bytes", "of them caches", "computing", "latents", "reserve", "together"}
