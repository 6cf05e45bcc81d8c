"""One of the Triton servers that jobs are sent to, and what is known of it."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Unpack

import structlog

from frontend.errors import EngineUnavailable
from frontend.generators.backoff import Backoff
from frontend.generators.evaluations import evaluations
from frontend.generators.generator import Event, Generator, JobOptions
from protocol.errors import ModelFailed
from protocol.events import Done, Progress
from protocol.model_card import ModelCard
from protocol.sampling import AnySpec

PROBE_SECONDS = 5.0
"""between two questions to a server that answers, unless its models were asked for meanwhile"""
_log = structlog.get_logger(__name__)


@dataclass(eq=False)
class _Part:
    """A video or image that is being made."""

    model: str
    evaluations: int
    """of a transformer, that are left"""


class Endpoint:
    """Whether a server is healthy is what its last answer about its models says: Triton itself calls a `generate` ready
    whose process is gone. A job that fails there for want of a model keeps further jobs of that model away for a while,
    and has the server asked at once.

    Args:
        name: host:port of gRPC.
        client: talks to it.
        clock: monotonic, in seconds.
    """

    def __init__(self, name: str, client: Generator, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.client = client
        self.is_draining = False
        """whether it gets no new jobs"""
        self.cards: dict[str, ModelCard] | None = None
        """what it served when it was last asked, by id; None of one that has never answered"""
        self.trouble: str | None = None
        """why it is not healthy, if somebody has asked"""
        self._clock = clock
        self._asked_at = float("-inf")
        self._outage = Backoff()
        self._failing: defaultdict[str, Backoff] = defaultdict(Backoff)
        """by model"""
        self._parts: set[_Part] = set()
        self._suspected = asyncio.Event()

    @property
    def is_healthy(self) -> bool:
        return self.cards is not None and self.trouble is None

    @property
    def is_unknown(self) -> bool:
        """Whether nobody has asked it yet."""
        return self.cards is None and self.trouble is None

    @property
    def parts(self) -> int:
        """Videos and images that are being made there for this frontend."""
        return len(self._parts)

    def outstanding(self, model: str | None = None) -> int:
        """Evaluations of transformers that are left of this frontend's jobs there: of a model, or of all."""
        return sum(part.evaluations for part in self._parts if model in (None, part.model))

    def why_not(self) -> str | None:
        """Why it takes no new jobs; None where it does."""
        if self.is_draining:
            return f"Triton at {self.name} is being drained and takes no new jobs"
        return self.trouble

    def can_take(self, model: str) -> bool:
        """Whether a job of `model` is likely to run there."""
        is_there = self.is_healthy and self.cards is not None and model in self.cards
        return is_there and not self.is_draining and not self._failing[model].seconds_left(self._clock())

    async def models(self) -> list[ModelCard]:
        """See `Generator.models`; the answer decides whether it is healthy."""
        self._asked_at = self._clock()
        try:
            cards = await self.client.models()
        except Exception as error:
            self._lost(str(error))
            raise
        self._found(cards)
        return cards

    async def generate(self, model: str, spec: AnySpec, **options: Unpack[JobOptions]) -> AsyncGenerator[Event, None]:
        """See `Generator.generate`."""
        part = _Part(model, evaluations(spec))
        self._parts.add(part)
        try:
            async with aclosing(self.client.generate(model, spec, **options)) as events:
                async for event in events:
                    if isinstance(event, Progress):
                        part.evaluations = evaluations(spec, event)
                    elif isinstance(event, Done):
                        self._failing[model].succeed()
                    yield event
        except (EngineUnavailable, ModelFailed):
            self._failing[model].fail(self._clock())
            self._suspected.set()
            raise
        finally:
            self._parts.discard(part)

    async def watch(self) -> None:
        """Ask it now and then, and when a job has failed there; later and later while it does not answer."""
        while True:
            with suppress(Exception):  # whatever it is: the log and `trouble` say it
                await self.models()
            self._suspected.clear()
            while seconds := self._seconds_to_probe():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._suspected.wait(), seconds)
                    break

    def _seconds_to_probe(self) -> float:
        now = self._clock()
        pause = self._outage.seconds_left(now) if self.trouble else self._asked_at + PROBE_SECONDS - now
        return max(0.0, pause)

    def _found(self, cards: list[ModelCard]) -> None:
        if not self.is_healthy:
            _log.info("a Triton server answers", server=self.name, models=[card.id for card in cards])
        self.cards = {card.id: card for card in cards}
        self.trouble = None
        self._outage.succeed()

    def _lost(self, reason: str) -> None:
        if self.trouble is None:
            log = _log.info if self.cards is None else _log.warning  # at the start it may be on its way
            log("a Triton server does not answer", server=self.name, reason=reason)
        self.trouble = reason
        self._outage.fail(self._clock())
