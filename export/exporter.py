"""A diffusers checkpoint folder into a Triton model repository."""

import gc
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from export.attention import fuse_attention
from export.checkpoint import Checkpoint, open_checkpoint
from export.defaults import read_defaults
from export.errors import ParityError, RepositoryError
from export.family import Comparison, Family, Part
from export.graph import Session, save, trace
from export.lora import add_adapter_inputs, linear_layers
from export.options import Options, Target
from export.staging import staged
from pipelines.lora_targets import Sizes, write_targets

OWN_REPOSITORY = Path(__file__).resolve().parent.parent / "model_repository"
"""the project's own, which holds the configuration of every Triton model"""

TOLERANCE = 1e-4
"""greatest absolute difference between a graph and its torch module"""

_VERSION = "1"
_GENERATE = "generate"


@dataclass(frozen=True)
class Exported:
    """What became of one component."""

    component: str
    model: str
    files: tuple[str, ...]
    bytes: int
    parameters: int
    export_seconds: float
    """loading, tracing and saving"""
    compare_seconds: float
    comparisons: tuple[Comparison, ...]
    adapter_targets: Sizes
    """linear layers that adapters may change; none but in transformers"""

    @property
    def max_difference(self) -> float:
        return max(comparison.max_difference for comparison in self.comparisons)


def export_checkpoint(
    folder: Path,
    family: Family,
    repository: Path,
    options: Options,
    on_stage: Callable[[str], None] = lambda stage: None,
    on_exported: Callable[[Exported], None] = lambda exported: None,
) -> list[Exported]:
    """Export every component, compare each with its torch module, then put all of it in the repository.

    Args:
        folder: the checkpoint.
        on_stage: hears what is being done, a few words each time.
        on_exported: hears of each component once it has passed the comparison.

    Raises:
        ExportError: the repository is then as it was before.
    """
    checkpoint = open_checkpoint(folder, family.layout)
    own = read_defaults(folder)
    card = family.card(checkpoint, own.model_copy(update={"id": options.model_id or own.id}))
    companions = _missing_companions(family, repository)

    with staged(repository) as staging:
        results = []
        for part in family.parts:
            if part.source in checkpoint.models:
                exported = _export_part(part, checkpoint, staging.new(f"{part.model}/{_VERSION}"), options, on_stage)
                on_exported(exported)
                results.append(exported)
        generate = staging.new(f"{_GENERATE}/{_VERSION}/{family.name}")
        generate.mkdir()
        card.write(generate)
        write_targets(generate, {one.component: one.adapter_targets for one in results if one.adapter_targets})
        for component in ("tokenizer", "scheduler"):
            shutil.copytree(folder / component, generate / component)
        for companion in companions:
            shutil.copyfile(OWN_REPOSITORY / companion, staging.new(companion))
        absent = (part.model for part in family.parts if part.source not in checkpoint.models)
        staging.publish(remove=[f"{model}/{_VERSION}" for model in absent])
    return results


def _export_part(
    part: Part, checkpoint: Checkpoint, version: Path, options: Options, on_stage: Callable[[str], None]
) -> Exported:
    started = time.monotonic()
    on_stage(f"{part.component}: loading")
    module = part.load(checkpoint.folder / part.source)
    version.mkdir()
    files = []
    for graph in part.graphs(module):
        on_stage(f"{part.component}: tracing {graph.file}")
        model = trace(graph)
        if part.takes_adapters:
            add_adapter_inputs(model)
        if options.target is Target.ONNXRUNTIME:
            fuse_attention(model)
        on_stage(f"{part.component}: saving {graph.file}")
        save(model, version / graph.file, options.external_above)
        files.append(graph.file)
    export_seconds = time.monotonic() - started

    comparisons = _compare(part, module, version, files, on_stage)
    return Exported(
        component=part.component,
        model=part.model,
        files=tuple(files),
        bytes=sum(path.stat().st_size for path in version.iterdir()),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        export_seconds=export_seconds,
        compare_seconds=time.monotonic() - started - export_seconds,
        comparisons=comparisons,
        adapter_targets=linear_layers(module) if part.takes_adapters else {},
    )


def _compare(
    part: Part, module: nn.Module, version: Path, files: list[str], on_stage: Callable[[str], None]
) -> tuple[Comparison, ...]:
    gc.collect()  # the exporter's reference cycles hold the weights once more
    on_stage(f"{part.component}: comparing with {part.class_name}")
    sessions = {file: Session(version / file) for file in files}
    comparisons = []
    for comparison in part.compare(module, sessions):
        # written so that a NaN fails
        if not comparison.max_difference <= TOLERANCE:
            raise ParityError(
                f"{part.model} differs from {part.class_name} by {comparison.max_difference:.3g} "
                f"on {comparison.inputs}; at most {TOLERANCE:g} is allowed"
            )
        comparisons.append(comparison)
    return tuple(comparisons)


def _missing_companions(family: Family, repository: Path) -> list[str]:
    """What else Triton needs and the repository lacks: each model's config.pbtxt, and generate's code."""
    models = [_GENERATE, *(part.model for part in family.parts)]
    configurations = [f"{model}/config.pbtxt" for model in models]
    for configuration in configurations:
        if not any((root / configuration).is_file() for root in (repository, OWN_REPOSITORY)):
            raise RepositoryError(f"there is no {configuration}, neither in {repository} nor in {OWN_REPOSITORY}")
    code = OWN_REPOSITORY / _GENERATE / _VERSION
    modules = [f"{_GENERATE}/{_VERSION}/{path.name}" for path in sorted(code.glob("*.py"))]
    return [
        path
        for path in (*configurations, *modules)
        if not (repository / path).is_file() and (OWN_REPOSITORY / path).is_file()
    ]
