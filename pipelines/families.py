"""The sampling code of each model family, and what every family offers."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from pipelines.condition_cache import ConditionCache
from pipelines.conditions import TextConditions
from pipelines.denoise import AfterStep
from pipelines.engine_limits import EngineLimits
from pipelines.lora.adapters import Adapters
from pipelines.lora.folder import Entry, LoraFolder
from pipelines.qwen_image import QwenImage
from pipelines.runner import Evaluate, ModelRunner
from pipelines.solver_state import SolverState
from pipelines.wan import Wan
from pipelines.wan_conditioning import FirstFrame, MaskedImage, TextOnly
from protocol.errors import InvalidRequest, ModelNotFound
from protocol.lora import LoraInfo
from protocol.model_card import CARD_FILE, ModelCard
from protocol.printable import quoted

SpecT = TypeVar("SpecT", contravariant=True)
"""the spec of the family's jobs, see `protocol.sampling`"""


class Pipeline(Protocol[SpecT]):
    """A served checkpoint: text and image, then latents, then frames."""

    card: ModelCard

    async def encode_text(self, params: SpecT) -> TextConditions: ...

    async def encode_image(self, params: SpecT) -> torch.Tensor | None: ...

    async def sample(
        self,
        params: SpecT,
        text: TextConditions,
        image: torch.Tensor | None,
        after_step: AfterStep,
        resume: SolverState | None = None,
    ) -> torch.Tensor: ...

    def decode(self, latents: torch.Tensor) -> AsyncGenerator[torch.Tensor]: ...


Family = Callable[[Path, ModelRunner, Evaluate, Adapters, ConditionCache, torch.device], Pipeline[Any]]

FAMILIES: dict[str, Family] = {
    "wan_t2v": partial(Wan, TextOnly),
    "wan_i2v": partial(Wan, MaskedImage),
    "wan_ti2v": partial(Wan, FirstFrame),
    "qwen_image": QwenImage,
}
"""In the order in which models are chosen for a request that names none."""


class Pipelines:
    """The checkpoints that are served, by their ids. Those that `serve` drops end the jobs that they have.

    Args:
        folder: holds one folder a checkpoint, each with a `card.json` (model_repository/generate/1).
        chosen: ids of which those come first for requests that name none, in this order; empty for the families' order.
        loras: the adapters that requests can name.
        cache: of encoded prompts and images, for all checkpoints; absent: none are kept.
        device: where latents are between the calls of models.
        engine_limits: what TensorRT engines take of what a checkpoint can do, by its card; absent: all.
    """

    def __init__(
        self,
        folder: Path,
        runner: ModelRunner,
        evaluate: Evaluate,
        chosen: Sequence[str] = (),
        loras: LoraFolder | None = None,
        cache: ConditionCache | None = None,
        device: torch.device = torch.device("cpu"),  # noqa: B008
        engine_limits: Callable[[ModelCard], EngineLimits] = lambda card: EngineLimits(),
    ) -> None:
        self._folder = folder
        self._runner = runner
        self._evaluate = evaluate
        self._chosen = list(chosen)
        self._loras = loras or LoraFolder(None)
        self._cache = cache or ConditionCache(max_bytes=0)
        self._device = device
        self._engine_limits = engine_limits
        self._adapters: dict[str, Adapters] = {}
        self._by_id: dict[str, Pipeline[Any]] = {}
        self._folders: dict[str, Pipeline[Any]] = {}
        self._jobs: Counter[Pipeline[Any]] = Counter()
        self._leaving: dict[Pipeline[Any], str] = {}

    def exported(self) -> list[str]:
        """Folders of all checkpoints that there are, or of those that were chosen.

        Raises:
            FileNotFoundError: a chosen one is not there, or there is none.
        """
        ids = {
            file.parent.name: card.id
            for file in self._folder.glob(f"*/{CARD_FILE}")
            if (card := _readable_card(file.parent)) is not None
        }
        if not ids:
            raise FileNotFoundError(f"no exported checkpoint in {self._folder}: run `python -m export`")
        if unknown := [model_id for model_id in self._chosen if model_id not in ids.values()]:
            raise FileNotFoundError(f"not exported: {', '.join(unknown)}; exported: {', '.join(sorted(ids.values()))}")
        return [name for name, model_id in ids.items() if not self._chosen or model_id in self._chosen]

    @property
    def folders(self) -> tuple[str, ...]:
        """Of the checkpoints that are served."""
        return tuple(self._folders)

    def open(self, name: str) -> tuple[Pipeline[Any], Adapters]:
        """Read the checkpoint in the folder `name`, which takes a while. Thread-safe.

        Raises:
            OSError, ValueError: it is not one that this release can serve.
        """
        checkpoint = self._folder / name
        card = ModelCard.read(checkpoint)
        if card.family not in FAMILIES:
            raise ValueError(f"{checkpoint / CARD_FILE}: no family {card.family!r}; export the checkpoint again")
        limits = self._engine_limits(card)
        adapters = Adapters.of(checkpoint, self._loras, limits.adapter_ranks)
        family = FAMILIES[card.family]
        pipeline = family(checkpoint, self._runner, self._evaluate, adapters, self._cache, self._device)
        pipeline.card = limits.narrow(card)
        return pipeline, adapters

    def take_in(self, name: str, pipeline: Pipeline[Any], adapters: Adapters) -> None:
        """Serve what `open` gave."""
        components = pipeline.card.components
        encoders = (components.text_encoder, components.vae_encoder)
        self._cache.forget({encoder for encoder in encoders if encoder is not None})  # they may have been replaced
        self._folders[name] = pipeline
        self._adapters[pipeline.card.id] = adapters
        self._by_id[pipeline.card.id] = pipeline
        order = self._chosen or list(FAMILIES)

        def rank(one: Pipeline[Any]) -> int:
            return order.index(one.card.id if self._chosen else one.card.family)

        self._by_id = {one.card.id: one for one in sorted(self._by_id.values(), key=rank)}

    def drop(self, names: Collection[str]) -> None:
        """Take no more jobs for the checkpoints in these folders."""
        for name in names:
            pipeline = self._folders.pop(name)
            del self._by_id[pipeline.card.id], self._adapters[pipeline.card.id]
            if self._jobs[pipeline]:
                self._leaving[pipeline] = name

    @contextmanager
    def job_of(self, pipeline: Pipeline[Any]) -> Iterator[None]:
        """A job runs, or waits, inside the block."""
        self._jobs[pipeline] += 1
        try:
            yield
        finally:
            self._jobs[pipeline] -= 1
            if not self._jobs[pipeline]:
                del self._jobs[pipeline]
                self._leaving.pop(pipeline, None)

    @property
    def busy(self) -> tuple[str, ...]:
        """Folders of the dropped checkpoints that still have jobs."""
        return tuple(sorted(set(self._leaving.values())))

    @property
    def models(self) -> set[str]:
        """Triton models of the checkpoints that are served, or still have jobs."""
        return {model for one in (*self._by_id.values(), *self._leaving) for model in one.card.components.names()}

    @property
    def cards(self) -> list[ModelCard]:
        return [pipeline.card for pipeline in self._by_id.values()]

    def adapters(self, model_id: str) -> Adapters:
        """What a served model can have."""
        return self._adapters[model_id]

    def loras(self) -> list[LoraInfo]:
        """Every adapter, the served models that it fits, and what is wrong with one that fits none."""
        return [self._describe(entry) for entry in self._loras.entries()]

    def _describe(self, entry: Entry) -> LoraInfo:
        if entry.trouble is not None:
            return LoraInfo(name=entry.name, bytes=entry.bytes, error=entry.trouble)
        try:
            adapter = self._loras.by_name(entry.name)
            misfits = {model_id: self._adapters[model_id].why_not(entry.name) for model_id in self._by_id}
        except InvalidRequest as error:
            return LoraInfo(name=entry.name, bytes=entry.bytes, error=error.message)
        except Exception as error:  # whatever it is, the others are to be listed
            return LoraInfo(name=entry.name, bytes=entry.bytes, error=repr(error))
        fitted = [model_id for model_id, reason in misfits.items() if reason is None]
        wrong = None if fitted else "; ".join(reason for reason in misfits.values() if reason is not None)
        return LoraInfo(name=entry.name, rank=adapter.rank, bytes=adapter.bytes, models=fitted, error=wrong or None)

    def get(self, model: Any) -> Pipeline[Any]:
        """The pipeline with this id; without an id, the only one.

        Raises:
            ModelNotFound: naming what is served.
        """
        if model is None and len(self._by_id) == 1:
            return next(iter(self._by_id.values()))
        if model not in self._by_id:
            what = "say which model" if model is None else f"no model {quoted(str(model))}"
            raise ModelNotFound(f"{what}; served: {', '.join(self._by_id)}", "model")
        return self._by_id[model]


def _readable_card(checkpoint: Path) -> ModelCard | None:
    """The card of a checkpoint; None for one of another release, of which the launcher has told and which keeps none of
    the others from being served."""
    try:
        card = ModelCard.read(checkpoint)
    except ValueError:
        return None
    return card if card.family in FAMILIES else None
