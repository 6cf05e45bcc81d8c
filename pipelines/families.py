"""The sampling code of each model family, and what every family offers."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from pipelines.denoise import Evaluate, TextConditions
from pipelines.errors import ModelNotFound
from pipelines.frames import Float32
from pipelines.model_card import CARD_FILE, ModelCard
from pipelines.request import SamplingParams
from pipelines.runner import ModelRunner
from pipelines.wan import WanTextToVideo


class Pipeline(Protocol):
    """A served checkpoint: text, then latents, then frames."""

    card: ModelCard

    async def encode_text(self, params: SamplingParams) -> TextConditions: ...

    async def sample(
        self, params: SamplingParams, text: TextConditions, after_step: Callable[[int], Awaitable[None]]
    ) -> torch.Tensor: ...

    def decode(self, latents: torch.Tensor) -> AsyncGenerator[Float32]: ...


FAMILIES: dict[str, type[WanTextToVideo]] = {"wan_t2v": WanTextToVideo}


class Pipelines:
    """Every checkpoint that was exported, by the id it is served under.

    Args:
        folder: holds one folder a checkpoint, each with a `card.json` (model_repository/generate/1).
    """

    def __init__(self, folder: Path, runner: ModelRunner, evaluate: Evaluate) -> None:
        self._by_id: dict[str, Pipeline] = {}
        for card_file in sorted(folder.glob(f"*/{CARD_FILE}")):
            card = ModelCard.read(card_file.parent)
            self._by_id[card.id] = FAMILIES[card.family](card_file.parent, runner, evaluate)
        if not self._by_id:
            raise FileNotFoundError(f"no exported checkpoint in {folder}: run `make export`, or `python -m export`")

    @property
    def cards(self) -> list[ModelCard]:
        return [pipeline.card for pipeline in self._by_id.values()]

    def get(self, model: Any) -> Pipeline:
        """The pipeline with this id; without an id, the only one.

        Raises:
            ModelNotFound: naming what is served.
        """
        if model is None and len(self._by_id) == 1:
            return next(iter(self._by_id.values()))
        if model not in self._by_id:
            what = "say which model" if model is None else f"no model {model!r}"
            raise ModelNotFound(f"{what}; served: {', '.join(self._by_id)}", "model")
        return self._by_id[model]
