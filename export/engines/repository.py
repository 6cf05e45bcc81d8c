"""The engines of all checkpoints in a model repository."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.engines.builder import BuiltEngine, EngineBuilder
from export.engines.errors import EngineError
from export.engines.library import Library
from export.engines.profiles import Profile, VideoSize, default_size, merged, profiles
from export.options import Target
from export.source import Source, read_source
from protocol.model_card import CARD_FILE, ModelCard
from protocol.repository import ENSEMBLE, VERSION
from runtime.banded_vae import WHOLE
from runtime.engine import EngineUnusable
from runtime.engine_plan import CURRENT, EnginePlan, EnginePlans, EngineProfile

_ONE_GRAPH = "model.onnx"
_TRANSFORMERS = ("transformer", "transformer_2")
_VAES = ("vae", "vae_encoder")


@dataclass(frozen=True)
class EngineOptions:
    """What the person who builds engines chooses."""

    capabilities: tuple[str, ...]
    """of GPUs; none: of this machine's"""
    sizes: tuple[VideoSize, ...] = ()
    """that get a profile of their own, beside each checkpoint's default size"""
    batch: int = 4
    """rows of a transformer's call at most"""
    adapter_rank: int = 128
    """of all adapters of a request together, at most; 0: none can be used"""
    streams_weights: bool = False


@dataclass(frozen=True)
class EngineTask:
    """A graph, and the sizes that its engine is for."""

    model: str
    graph: Path
    profiles: tuple[Profile, ...]
    must_fuse: bool

    @property
    def engine(self) -> Path:
        return self.graph.with_suffix(".plan")


def plan_engines(repository: Path, options: EngineOptions, models: Sequence[str] = ()) -> list[EngineTask]:
    """What is to be built.

    Args:
        models: Triton models to build engines for; none: all.

    Raises:
        EngineError: a model is not there, or was not exported for GPUs, or a size is not one that a checkpoint makes.
    """
    cards = [ModelCard.read(path.parent) for path in sorted((repository / ENSEMBLE / VERSION).glob(f"*/{CARD_FILE}"))]
    if not cards:
        raise EngineError(f"{repository} holds no exported checkpoint: run `python -m export` first")
    tasks: dict[Path, EngineTask] = {}
    for card in cards:
        sizes = _served_sizes(card, options.sizes)
        for component, model in card.components.model_dump(exclude_none=True).items():
            if not models or model in models:
                version = repository / model / VERSION
                source = _checked_source(version, model)
                of_component = profiles(
                    card, component, sizes, options.batch, options.adapter_rank, source.adapter_targets is not None
                )
                for graph in _graphs(version):
                    others = tasks[graph].profiles if graph in tasks else ()  # of a checkpoint that shares it
                    tasks[graph] = EngineTask(
                        model, graph, tuple(merged(others, of_component)), must_fuse=component not in _VAES
                    )
    if missing := set(models) - {task.model for task in tasks.values()}:
        raise EngineError(f"{repository} holds no {', '.join(sorted(missing))}")
    return list(tasks.values())


def build_engines(
    tasks: Sequence[EngineTask],
    library: Library,
    options: EngineOptions,
    builder: EngineBuilder,
    on_task: Callable[[EngineTask], None],
) -> Iterator[tuple[EngineTask, BuiltEngine | None]]:
    """Build what is not there yet, and write the plan.json of each model once its engines are.

    Yields:
        each task and its engine; None where the engine that is there is the same.

    Raises:
        EngineError: one cannot be built. Those before it stay.
    """
    for task in tasks:
        wanted = _plan(task)
        made_for = (library.name, library.version, options.capabilities or (CURRENT,))
        there = _present(task.graph.parent, made_for)
        if wanted in there and task.engine.is_file():
            yield task, None
            continue
        on_task(task)
        built = builder.build(task.graph, task.profiles, task.must_fuse, task.engine)
        others = [plan for plan in there if plan.graph != wanted.graph]
        EnginePlans(
            library=library.name,
            version=library.version,
            capabilities=options.capabilities or (CURRENT,),
            streams_weights=options.streams_weights,
            engines=(*others, wanted),
        ).write(task.graph.parent)
        yield task, built


def _served_sizes(card: ModelCard, more: Sequence[VideoSize]) -> list[VideoSize]:
    """The checkpoint's own size, and those of the others that it can make."""
    own = default_size(card)
    multiple = card.limits.size_multiple
    for size in more:
        if size.width % multiple or size.height % multiple:
            raise EngineError(f"{size}: width and height must be multiples of {multiple} for {card.id}")
        if (size.num_frames - 1) % card.latents.temporal_stride:
            raise EngineError(f"{size}: {card.id} makes {card.latents.temporal_stride}k+1 frames")
    is_video = own.num_frames > 1
    fitting = [size for size in more if (size.num_frames > 1) == is_video]
    return list(dict.fromkeys([own, *fitting]))


def _checked_source(version: Path, model: str) -> Source:
    source = read_source(version)
    if source is None:
        raise EngineError(f"{version} holds no export: run `python -m export` first")
    if source.target is not Target.ONNX:
        raise EngineError(
            f"{model} was exported for {source.target}; engines are built from graphs for GPUs: export the checkpoint "
            f"with --target {Target.ONNX}, into another repository"
        )
    return source


def _graphs(version: Path) -> list[Path]:
    """Those that engines are built from: a VAE's of whole frames."""
    one = version / _ONE_GRAPH
    return [one] if one.is_file() else sorted(version.glob(f"{WHOLE}_*.onnx"))


def _plan(task: EngineTask) -> EnginePlan:
    import onnx

    graph = onnx.load(str(task.graph), load_external_data=False).graph
    shapes = [(profile, profile.shapes(graph)) for profile in task.profiles]
    return EnginePlan(
        graph=task.graph.name,
        fingerprint=_fingerprint(task.graph),
        engine=task.engine.name,
        profiles=tuple(
            EngineProfile(
                name=profile.name,
                least={key: tuple(least) for key, (least, _, _) in of.items()},
                most={key: tuple(most) for key, (_, _, most) in of.items()},
                sizes={size: (one.least, one.most) for size, one in profile.ranges.items()},
            )
            for profile, of in shapes
        ),
    )


def _fingerprint(graph: Path) -> str:
    """Of the graph and of the weights beside it, which cannot change without their export's `source.json`."""
    digest = hashlib.sha256(graph.read_bytes())
    source = read_source(graph.parent)
    digest.update(f"{source.component} {source.exporter}".encode() if source else b"")
    return digest.hexdigest()


def _present(version: Path, made_for: tuple[str, str, tuple[str, ...]]) -> list[EnginePlan]:
    """Engines that were built with that library, in that version, for those GPUs."""
    try:
        plans = EnginePlans.read(version)
    except EngineUnusable:
        return []
    return list(plans.engines) if (plans.library, plans.version, plans.capabilities) == made_for else []
