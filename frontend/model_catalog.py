"""Which models are served, asked of the generator now and then."""

import asyncio
import time

from frontend.errors import EngineUnavailable
from frontend.generators.generator import Generator
from protocol.errors import InvalidRequest, ModelNotFound
from protocol.model_card import ModelCard, Task
from protocol.printable import quoted

MAX_AGE_SECONDS = 5.0
"""Triton may be restarted with other models"""


class ModelCatalog:
    """The cards of the served models. Concurrent callers share one call to the generator."""

    def __init__(self, generator: Generator, *, max_age_seconds: float = MAX_AGE_SECONDS) -> None:
        self._generator = generator
        self._max_age = max_age_seconds
        self._cards: dict[str, ModelCard] = {}
        self._fetched_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def cards(self) -> list[ModelCard]:
        """Raises EngineUnavailable when the generator does not answer or serves nothing."""
        if time.monotonic() - self._fetched_at > self._max_age:
            if self._fetching is None or self._fetching.done():
                self._fetching = asyncio.create_task(self._fetch())
            await asyncio.shield(self._fetching)
        return list(self._cards.values())

    async def get(self, model: str) -> ModelCard:
        """The card of the served id `model`. Raises ModelNotFound and what `cards` raises."""
        cards = await self.cards()
        for card in cards:
            if card.id == model:
                return card
        raise ModelNotFound(f"there is no model {quoted(model)}; served here: {_ids(cards)}", "model")

    async def choose(self, model: str | None, task: Task, field: str = "model") -> ModelCard:
        """The card of `model`, or of the first served model that does `task` when the request names none.

        Args:
            field: the request field that asks for the task, for the error.

        Raises:
            ModelNotFound, InvalidRequest: the latter names the served models that do `task`.
        """
        cards = await self.cards()
        able = [card for card in cards if task in card.tasks]
        card = await self.get(model) if model is not None else next(iter(able), None)
        if card is not None and task in card.tasks:
            return card
        if card is None:
            raise InvalidRequest(f"no served model does {task}; served here: {_described(cards)}", field)
        instead = f"use {' or '.join(c.id for c in able)}" if able else "and no served model does that"
        raise InvalidRequest(f"{card.id} does {' and '.join(card.tasks)}; for {task} {instead}", field)

    async def _fetch(self) -> None:
        cards = await self._generator.models()
        if not cards:
            raise EngineUnavailable("no model is loaded")
        self._cards = {card.id: card for card in cards}
        self._fetched_at = time.monotonic()


def _described(cards: list[ModelCard]) -> str:
    return ", ".join(f"{card.id} ({', '.join(card.tasks)})" for card in cards)


def _ids(cards: list[ModelCard]) -> str:
    return ", ".join(card.id for card in cards)
