"""Which models are served, asked of the Triton servers now and then."""

import asyncio
import time
from collections.abc import Callable, Mapping

from frontend.errors import EngineUnavailable, ModelNotReady
from frontend.generators.pool import Pool
from frontend.launcher_status import Coming, LauncherStatus
from protocol.errors import InvalidRequest, ModelNotFound
from protocol.model_card import ModelCard, Task
from protocol.printable import quoted

MAX_AGE_SECONDS = 5.0
"""models come and go"""
MISSING_MAX_AGE_SECONDS = 0.5
"""a request that asks for what was not there may mean a model that has just come"""


class ModelCatalog:
    """The cards of the served models, and what is known of those to come.

    Concurrent callers share one call to the servers.

    Args:
        aliases: other names of models.
        max_age_seconds: how old an answer of the servers may be.
    """

    def __init__(
        self,
        pool: Pool,
        launcher_status: LauncherStatus | None = None,
        *,
        aliases: Mapping[str, str] | None = None,
        max_age_seconds: float = MAX_AGE_SECONDS,
    ) -> None:
        self._pool = pool
        self._aliases = aliases or {}
        self._launcher_status = launcher_status or LauncherStatus(None)
        self._max_age = max_age_seconds
        self._cards: dict[str, ModelCard] = {}
        self._fetched_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def cards(self) -> list[ModelCard]:
        """Raises EngineUnavailable when no server answers, or none serves anything."""
        return await self._younger_than(self._max_age)

    def is_alias(self, name: str) -> bool:
        """Whether it is another name of a model."""
        return name in self._aliases

    def coming(self) -> list[Coming]:
        """Models that are being exported or loaded, and those for which that failed."""
        return self._launcher_status.coming()

    async def _younger_than(self, seconds: float) -> list[ModelCard]:
        if time.monotonic() - self._fetched_at > seconds:
            if self._fetching is None or self._fetching.done():
                self._fetching = asyncio.create_task(self._fetch())
            await asyncio.shield(self._fetching)
        return list(self._cards.values())

    async def get(self, model: str) -> ModelCard:
        """The card of the served id `model`, or of the one that it is an alias of.

        Raises:
            ModelNotFound: there is none, or its export failed.
            ModelNotReady: it is still being exported or loaded.
            EngineUnavailable: as `cards`, or the servers that have it are away or drained.
        """
        model = self._aliases.get(model, model)
        coming = next((one for one in self.coming() if one.model == model), None)
        try:
            card = await self._find(lambda card: card.id == model)
        except EngineUnavailable:
            if coming is None or coming.has_failed:
                raise
            raise ModelNotReady(f"still {coming}; try again later", "model") from None
        if card is not None:
            return card
        if coming is not None and not coming.has_failed:
            raise ModelNotReady(f"still {coming}; try again later", "model")
        self._refuse_missing(lambda card: card.id == model)
        reason = str(coming) if coming is not None else f"there is no model {quoted(model)}"
        raise ModelNotFound(f"{reason}; served here: {_ids(list(self._cards.values()))}", "model")

    async def choose(self, model: str | None, task: Task, field: str = "model") -> ModelCard:
        """The card of `model`, or of the first served model that does `task` when the request names none.

        Args:
            field: the request field that asks for the task, for the error.

        Raises:
            ModelNotFound, InvalidRequest: the latter names the served models that do `task`.
            ModelNotReady: the model, or the only one that does `task`, is still being exported or loaded.
            EngineUnavailable: as `get`.
        """
        if model is not None:
            card: ModelCard | None = await self.get(model)
        else:
            card = await self._first_that_does(task)
        if card is not None and task in card.tasks:
            return card
        cards = list(self._cards.values())
        able = [card for card in cards if task in card.tasks]
        if card is None:
            raise InvalidRequest(f"no served model does {task}; served here: {_described(cards)}", field)
        instead = f"use {' or '.join(c.id for c in able)}" if able else "and no served model does that"
        raise InvalidRequest(f"{card.id} does {' and '.join(card.tasks)}; for {task} {instead}", field)

    async def _first_that_does(self, task: Task) -> ModelCard | None:
        coming = [one for one in self.coming() if not one.has_failed and (task in one.tasks or not one.tasks)]
        try:
            card = await self._find(lambda card: task in card.tasks)
        except EngineUnavailable:
            if not coming:
                raise
            card = None
        if card is None and coming:
            raise ModelNotReady(f"still {coming[0]}; try again later")
        if card is None:
            self._refuse_missing(lambda card: task in card.tasks)
        return card

    def _refuse_missing(self, is_it: Callable[[ModelCard], bool]) -> None:
        """Raises EngineUnavailable where a model of the kind may be on a server that takes no jobs now."""
        if why := self._pool.missing(is_it):
            raise EngineUnavailable(why)

    async def _find(self, is_it: Callable[[ModelCard], bool]) -> ModelCard | None:
        """The first served model of the kind; it may have come a moment ago."""
        for max_age in (self._max_age, min(self._max_age, MISSING_MAX_AGE_SECONDS)):
            for card in await self._younger_than(max_age):
                if is_it(card):
                    return card
        return None

    async def _fetch(self) -> None:
        cards = await self._pool.models()
        if not cards:
            raise EngineUnavailable("no model is loaded")
        self._cards = {card.id: card for card in cards}
        self._fetched_at = time.monotonic()


def _described(cards: list[ModelCard]) -> str:
    return ", ".join(f"{card.id} ({', '.join(card.tasks)})" for card in cards)


def _ids(cards: list[ModelCard]) -> str:
    return ", ".join(card.id for card in cards)
