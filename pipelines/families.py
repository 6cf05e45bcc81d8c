"""The sampling code of each model family, and what every family offers."""

from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from pipelines.condition_cache import ConditionCache
from pipelines.conditions import TextConditions
from pipelines.denoise import AfterStep
from pipelines.frames import Float32
from pipelines.lora.adapters import Adapters
from pipelines.lora.folder import LoraFolder
from pipelines.qwen_image import QwenImage
from pipelines.runner import Evaluate, ModelRunner
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
        self, params: SpecT, text: TextConditions, image: torch.Tensor | None, after_step: AfterStep
    ) -> torch.Tensor: ...

    def decode(self, latents: torch.Tensor) -> AsyncGenerator[Float32]: ...


Family = Callable[[Path, ModelRunner, Evaluate, Adapters, ConditionCache], Pipeline[Any]]

FAMILIES: dict[str, Family] = {
    "wan_t2v": partial(Wan, TextOnly),
    "wan_i2v": partial(Wan, MaskedImage),
    "wan_ti2v": partial(Wan, FirstFrame),
    "qwen_image": QwenImage,
}
"""In the order in which models are chosen for a request that names none."""


class Pipelines:
    """Every checkpoint that was exported, or those that were chosen, by the id it is served under.

    Args:
        folder: holds one folder a checkpoint, each with a `card.json` (model_repository/generate/1).
        chosen: ids to serve, in this order; empty for all.
        loras: the adapters that requests can name.
        cache: of encoded prompts and images, for all checkpoints; absent: none are kept.
    """

    def __init__(
        self,
        folder: Path,
        runner: ModelRunner,
        evaluate: Evaluate,
        chosen: Sequence[str] = (),
        loras: LoraFolder | None = None,
        cache: ConditionCache | None = None,
    ) -> None:
        checkpoints = {
            card.id: (card, file.parent)
            for file in folder.glob(f"*/{CARD_FILE}")
            if (card := _readable_card(file.parent)) is not None
        }
        if not checkpoints:
            raise FileNotFoundError(f"no exported checkpoint in {folder}: run `python -m export`")
        if unknown := [model_id for model_id in chosen if model_id not in checkpoints]:
            raise FileNotFoundError(f"not exported: {', '.join(unknown)}; exported: {', '.join(sorted(checkpoints))}")
        for card, checkpoint in checkpoints.values():
            if card.family not in FAMILIES:
                raise ValueError(f"{checkpoint / CARD_FILE}: no family {card.family!r}; export the checkpoint again")
        order = list(FAMILIES)
        self._loras = loras or LoraFolder(None)
        cache = cache or ConditionCache(max_bytes=0)
        self._adapters: dict[str, Adapters] = {}
        self._by_id: dict[str, Pipeline[Any]] = {}
        for model_id in chosen or sorted(checkpoints, key=lambda one: order.index(checkpoints[one][0].family)):
            card, checkpoint = checkpoints[model_id]
            self._adapters[model_id] = Adapters.of(checkpoint, self._loras)
            adapters = self._adapters[model_id]
            self._by_id[model_id] = FAMILIES[card.family](checkpoint, runner, evaluate, adapters, cache)

    @property
    def cards(self) -> list[ModelCard]:
        return [pipeline.card for pipeline in self._by_id.values()]

    def adapters(self, model_id: str) -> Adapters:
        """What a served model can have."""
        return self._adapters[model_id]

    def loras(self) -> list[LoraInfo]:
        """Every adapter that can be read, and the served models that it fits."""
        found = []
        for name in self._loras.names():
            try:
                adapter = self._loras.by_name(name)
            except InvalidRequest:
                continue
            fitted = [model_id for model_id in self._by_id if self._adapters[model_id].fits(name)]
            found.append(LoraInfo(name=name, rank=adapter.rank, bytes=adapter.bytes, models=fitted))
        return found

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
        return ModelCard.read(checkpoint)
    except ValueError:
        return None
