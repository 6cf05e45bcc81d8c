"""What of a checkpoint is on the GPU when, and whether it fits: a pure function of shapes, GPU, precision and sizes.

A job moves through stages: text encoder, VAE encoder (for an image), transformers, VAE decoder. Each is a model that
computes one call at a time, and what calls take is given back between them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from export.errors import PlanError
from export.options import Precision
from export.plan.gpus import Gpu
from export.plan.shapes import Geometry, Shapes, Size
from export.plan.stages import Call, Precisions, Stage, stages
from runtime.gpu import CONTEXT_BYTES, MARGIN, WORKSPACE_BYTES

HOST_BYTES = 4 * 2**30
"""of tritonserver, `generate`, the frontend and the models' processes"""
LINKS = {"PCIe 4.0 x16": 25 * 10**9, "PCIe 5.0 x16": 50 * 10**9}
"""bytes per second from pinned host memory, about 80 % of what the link could do: estimates, not measured"""


class Residency(StrEnum):
    """Where weights are while a job runs; the first that fits is the fastest."""

    RESIDENT = "resident"
    """everything stays on the GPU"""
    SWAP = "swap"
    """one model at a time is on the GPU"""
    STREAM = "stream"
    """as swap; of a model that does not fit, layers come from host memory in each call"""


@dataclass(frozen=True)
class Moment:
    """What is on the GPU while a stage computes. Bytes."""

    stage: str
    how: str
    weights: int
    working: int
    held: int
    """latents of the job"""
    reserve: int
    """CUDA contexts, workspace, margin"""
    total: int
    streamed_per_step: int = 0
    """that come from host memory, per denoising step"""


@dataclass(frozen=True)
class Verdict:
    """A residency for one size."""

    residency: Residency
    fits: bool
    peak: Moment
    moments: tuple[Moment, ...]
    spare: int
    """bytes of the GPU beside the peak; negative where it does not fit"""
    loads_ahead: bool
    """there is room to load the next model while the current one computes"""
    host: int
    """bytes of host memory that it needs"""
    host_cached: int
    """with which nothing is read from disk again"""
    streamed_per_step: int
    seconds_per_step: dict[str, float]
    """for those bytes, by link; what the GPU computes meanwhile is not in it"""


@dataclass(frozen=True)
class SizePlan:
    size: Size
    tokens: int
    stages: tuple[Stage, ...]
    verdicts: tuple[Verdict, ...]
    instead: tuple[Size, ...]
    """what fits where this size does not: fewer frames, or smaller ones"""

    @property
    def best(self) -> Verdict | None:
        """The fastest that fits."""
        return next((verdict for verdict in self.verdicts if verdict.fits), None)

    @property
    def needed(self) -> int:
        """Bytes of GPU memory with which this size fits in some way."""
        return min(verdict.peak.total for verdict in self.verdicts)


@dataclass(frozen=True)
class Plan:
    model_id: str
    family: str
    gpu: Gpu
    precision: Precision
    vae_precision: Precision
    sizes: tuple[SizePlan, ...]
    notes: tuple[str, ...]


def choose_precision(gpu: Gpu, asked: Precision | None) -> Precision:
    """bfloat16 unless another one is asked for or the GPU lacks it.

    Raises:
        PlanError: the GPU lacks what is asked for.
    """
    if asked is None:
        return Precision.BFLOAT16 if gpu.has_bfloat16 else Precision.FLOAT16
    if asked is Precision.BFLOAT16 and not gpu.has_bfloat16:
        raise PlanError(f"{gpu.name} has no bfloat16, which begins at compute capability 8.0: use --precision float16")
    return asked


def plan(shapes: Shapes, gpu: Gpu, precision: Precision, vae_precision: Precision, sizes: Sequence[Size]) -> Plan:
    """What fits how.

    Raises:
        PlanError: the model does not make a size.
    """
    for size in sizes:
        check_size(shapes.geometry, size)
    planner = _Planner(shapes, gpu, precision, vae_precision)
    return Plan(
        model_id=shapes.id,
        family=shapes.family,
        gpu=gpu,
        precision=precision,
        vae_precision=vae_precision,
        sizes=tuple(planner.size_plan(size) for size in sizes),
        notes=tuple(planner.notes()),
    )


def check_size(geometry: Geometry, size: Size) -> None:
    """Raises PlanError when the model does not make videos or images of that size."""
    multiple = geometry.size_multiple
    if min(size.width, size.height) < multiple or size.width % multiple or size.height % multiple:
        raise PlanError(f"--size {size.width}x{size.height}: width and height must be multiples of {multiple} pixels")
    if geometry.makes_images and size.frames != 1:
        raise PlanError("--frames: this model makes images; leave it out")
    stride = geometry.temporal_stride
    if size.frames < 1 or (size.frames - 1) % stride:
        below = max((size.frames - 1) // stride, 0) * stride + 1
        raise PlanError(f"--frames {size.frames}: must be {stride}k + 1, such as {below} or {below + stride}")
    if (asked := size.width * size.height * size.frames) > geometry.max_pixel_frames:
        raise PlanError(
            f"{size} is more than the model takes: width x height x frames is {asked:,} and may be "
            f"{geometry.max_pixel_frames:,} (max_pixel_frames in the checkpoint's defaults.json)"
        )


class _Planner:
    def __init__(self, shapes: Shapes, gpu: Gpu, precision: Precision, vae_precision: Precision) -> None:
        self._shapes = shapes
        self._gpu = gpu
        self._precisions = Precisions.of(shapes, gpu, precision, vae_precision)

    def size_plan(self, size: Size) -> SizePlan:
        geometry = self._shapes.geometry
        through = tuple(stages(self._shapes, self._precisions, size))
        verdicts = self._verdicts(through, geometry.latent_bytes(size))
        fits = any(verdict.fits for verdict in verdicts)
        return SizePlan(
            size=size,
            tokens=geometry.tokens(size),
            stages=through,
            verdicts=verdicts,
            instead=() if fits else tuple(self._instead(size)),
        )

    def notes(self) -> Iterator[str]:
        text, asked = self._precisions.text_encoder, self._precisions.transformer
        if not self._gpu.has_bfloat16:
            yield f"{self._gpu.name} has no bfloat16: transformers are planned in {asked}"
        if text is not asked:
            yield f"the text encoder stays {text}: UMT5's values do not fit float16"
        if asked is Precision.FLOAT16 and self._shapes.family == "qwen_image":
            yield "Qwen-Image's transformer is known to overflow in float16; its images may be black"
        if asked is Precision.FLOAT32:
            yield "in float32 TensorRT has no fused attention: this is for ONNX Runtime"
        if self._gpu.capability is None:
            yield f"{self._gpu.name} is taken for a GPU with bfloat16 (compute capability 8.0 or later)"

    def _verdicts(self, through: Sequence[Stage], held: int) -> tuple[Verdict, ...]:
        everything = sum(stage.weights for stage in through)
        largest = max(stage.weights for stage in through)

        def resident(stage: Stage, call: Call) -> Moment:
            return _moment(stage, call, everything, held, processes=len(through))

        def swapped(stage: Stage, call: Call) -> Moment:
            return _moment(stage, call, stage.weights, held, processes=1)

        def streamed(stage: Stage, call: Call) -> Moment:
            whole = swapped(stage, call)
            if whole.total <= self._gpu.memory or not stage.streamable:
                return whole
            least = _moment(stage, call, stage.weights - stage.streamable + stage.ahead, held, processes=1)
            kept = max(self._gpu.memory - least.total, 0)
            streamed = max(stage.streamable - kept, 0) * call.calls_per_step
            return _moment(stage, call, least.weights, held, processes=1, streamed=streamed)

        makers = {Residency.RESIDENT: resident, Residency.SWAP: swapped, Residency.STREAM: streamed}
        cached = {Residency.RESIDENT: largest, Residency.SWAP: everything, Residency.STREAM: everything}
        return tuple(
            self._verdict(residency, through, make, HOST_BYTES + largest, HOST_BYTES + cached[residency])
            for residency, make in makers.items()
        )

    def _verdict(
        self,
        residency: Residency,
        through: Sequence[Stage],
        make: Callable[[Stage, Call], Moment],
        host: int,
        host_cached: int,
    ) -> Verdict:
        moments = tuple(self._best(stage, make) for stage in through)
        peak = max(moments, key=lambda moment: moment.total)
        streamed = max(moment.streamed_per_step for moment in moments)
        next_ones = zip(moments, through[1:], strict=False)
        return Verdict(
            residency=residency,
            fits=peak.total <= self._gpu.memory,
            peak=peak,
            moments=moments,
            spare=self._gpu.memory - peak.total,
            loads_ahead=residency is Residency.SWAP
            and all(now.total + then.weights + CONTEXT_BYTES <= self._gpu.memory for now, then in next_ones),
            host=host,
            host_cached=host_cached,
            streamed_per_step=streamed,
            seconds_per_step={link: streamed / rate for link, rate in LINKS.items()},
        )

    def _best(self, stage: Stage, make: Callable[[Stage, Call], Moment]) -> Moment:
        """Of those ways that fit, the one that streams least, and the first of these; the smallest where none fits."""
        moments = [make(stage, call) for call in stage.calls]
        fitting = [moment for moment in moments if moment.total <= self._gpu.memory]
        if not fitting:
            return min(moments, key=lambda moment: moment.total)
        return min(fitting, key=lambda moment: moment.streamed_per_step)

    def _instead(self, size: Size) -> Iterator[Size]:
        """The longest video of this size that fits, and the largest of this length and shape."""
        geometry = self._shapes.geometry
        shorter = (
            Size(size.width, size.height, frames)
            for frames in range(size.frames - geometry.temporal_stride, 0, -geometry.temporal_stride)
        )
        multiple = geometry.size_multiple
        smaller = (
            Size(max(round(height * size.width / size.height / multiple), 1) * multiple, height, size.frames)
            for height in range(size.height - multiple, 0, -multiple)
        )
        for candidates in (shorter, smaller):
            yield from (found for found in [next(filter(self._fits, candidates), None)] if found)

    def _fits(self, size: Size) -> bool:
        through = tuple(stages(self._shapes, self._precisions, size))
        verdicts = self._verdicts(through, self._shapes.geometry.latent_bytes(size))
        return any(verdict.fits for verdict in verdicts)


def _moment(stage: Stage, call: Call, weights: int, held: int, processes: int, streamed: int = 0) -> Moment:
    """Args: processes: of models; `generate` is one more."""
    reserve = (processes + 1) * CONTEXT_BYTES + WORKSPACE_BYTES + int(MARGIN * call.working)
    total = weights + call.working + held + reserve
    return Moment(stage.name, call.how, weights, call.working, held, reserve, total, streamed)
