"""What a plan comes to, in a sentence or two."""

from collections.abc import Iterator, Sequence

from export.plan.residency import Plan, Residency, SizePlan, Verdict

_WHAT = {
    Residency.RESIDENT: "keep everything on the GPU",
    Residency.SWAP: "let models come and go",
    Residency.STREAM: "stream weights from host memory",
}


def gigabytes(size: int) -> str:
    """Of 10^9 bytes, as GPUs and disks are sold; what is small in MB."""
    return f"{size / 10**9:,.1f} GB" if size >= 10**8 else f"{size / 10**6:,.0f} MB"


def recommend(plan: Plan) -> str:
    """Which residency to use for the sizes that fit, and what fits instead of those that do not."""
    return " ".join([*_use(plan), *_does_not_fit(plan)])


def _use(plan: Plan) -> Iterator[str]:
    fitting = [size_plan for size_plan in plan.sizes if size_plan.best]
    if not fitting:
        return
    order = list(Residency)
    residency = max((size_plan.best.residency for size_plan in fitting if size_plan.best), key=order.index)
    verdicts = [_verdict(size_plan, residency) for size_plan in fitting]
    sizes = _listed([str(size_plan.size) for size_plan in fitting])
    with_what = _streams(verdicts) if residency is Residency.STREAM else _spares(verdicts)
    yield f"Use `{residency}`: {_WHAT[residency]}. {sizes} {'fits' if len(fitting) == 1 else 'fit'}, with {with_what}."
    if residency is Residency.STREAM:
        yield "TensorRT engines do it that are built with `python -m export.engines --weight-streaming`."
    if residency is Residency.SWAP:
        ahead = all(verdict.loads_ahead for verdict in verdicts)
        yield f"The next model loads {'while the current one runs' if ahead else 'when the current one has gone'}."
    yield from _alone(fitting, residency)
    if residency is not Residency.RESIDENT:
        faster = order[order.index(residency) - 1]
        needed = max(_verdict(size_plan, faster).peak.total for size_plan in fitting)
        cached = max(verdict.host_cached for verdict in verdicts)
        yield f"`{faster}` would need {gigabytes(needed)} on the GPU."
        yield f"{gigabytes(cached)} of host memory keep all weights at hand."


def _alone(fitting: Sequence[SizePlan], residency: Residency) -> Iterator[str]:
    """The sizes that a faster residency fits, were it not for the others."""
    for faster in Residency:
        sizes = [str(size_plan.size) for size_plan in fitting if size_plan.best and size_plan.best.residency is faster]
        if sizes and faster is not residency:
            yield f"`{faster}` is possible with {_listed(sizes)} alone."


def _spares(verdicts: Sequence[Verdict]) -> str:
    return f"{gigabytes(min(verdict.spare for verdict in verdicts))} to spare at the peak"


def _streams(verdicts: Sequence[Verdict]) -> str:
    most = max(verdicts, key=lambda verdict: verdict.streamed_per_step)
    times = " and ".join(f"{seconds:.1f} s over {link}" for link, seconds in most.seconds_per_step.items())
    return f"up to {gigabytes(most.streamed_per_step)} moved per denoising step, about {times}"


def _does_not_fit(plan: Plan) -> Iterator[str]:
    for size_plan in plan.sizes:
        if size_plan.best:
            continue
        short = f"{size_plan.size} does not fit: it needs {gigabytes(size_plan.needed)}"
        if size_plan.instead:
            instead = " or ".join(str(size) for size in size_plan.instead)
            yield f"{short}; {instead} {'do' if len(size_plan.instead) > 1 else 'does'}."
        else:
            yield f"{short}, and no smaller size fits either; float8 weights are not offered."


def _verdict(size_plan: SizePlan, residency: Residency) -> Verdict:
    return next(verdict for verdict in size_plan.verdicts if verdict.residency is residency)


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
