"""The Triton servers behind one frontend."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeVar, Unpack

import structlog

from frontend.errors import EngineFailed, EngineUnavailable, FrontendError, ServerLost, ServerNotFound
from frontend.generators.endpoint import Endpoint
from frontend.generators.generator import Event, JobOptions
from protocol.errors import InvalidRequest, ModelFailed, PipelineError, QueueFull
from protocol.lora import LoraInfo
from protocol.model_card import ModelCard
from protocol.printable import quoted
from protocol.sampling import AnySpec

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Pool:
    """A `Generator` of several. Each part of a job runs on one of those that have its model and are healthy: where the
    fewest evaluations of the model's transformer are left to do, as far as this frontend knows.

    Where none is known to be healthy the call goes out all the same, so that a server is found as soon as it is back,
    and a lone one answers for itself.

    Args:
        endpoints: of two that serve different models by one id, the first one's counts.
        chance: a random number, by which one of equals is chosen; frontends that share servers choose different ones.
    """

    def __init__(self, endpoints: Sequence[Endpoint], chance: Callable[[], float] = random.random) -> None:
        self.endpoints = tuple(endpoints)
        self._chance = chance
        self._different: set[tuple[Endpoint, str]] = set()
        """servers, and ids of models that are others there"""
        self._watches: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        for endpoint in self.endpoints:
            await endpoint.client.open()
        self._watches = [asyncio.create_task(endpoint.watch()) for endpoint in self.endpoints]

    async def close(self) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for endpoint in self.endpoints:
            await endpoint.client.close()

    def find(self, name: str) -> Endpoint:
        """The server of that name. Raises ServerNotFound."""
        for endpoint in self.endpoints:
            if endpoint.name == name:
                return endpoint
        names = ", ".join(endpoint.name for endpoint in self.endpoints)
        raise ServerNotFound(f"there is no server {quoted(name)}; there are: {names}")

    def drain(self, names: Iterable[str]) -> None:
        """Send new jobs to all servers but those `names`."""
        drained = set(names)
        for endpoint in self.endpoints:
            if endpoint.is_draining != (endpoint.name in drained):
                endpoint.is_draining = not endpoint.is_draining
                event = "is drained: it gets no new jobs" if endpoint.is_draining else "gets jobs again"
                _log.info(f"a Triton server {event}", server=endpoint.name, running=endpoint.parts)

    async def models(self) -> list[ModelCard]:
        asked = self._answering()
        answers = await _all(endpoint.models() for endpoint in asked)
        cards: dict[str, ModelCard] = {}
        for endpoint, answer in zip(asked, answers, strict=True):
            for card in answer or ():
                if cards.setdefault(card.id, card) != card:
                    self._say_different(endpoint, card)
        return list(cards.values())

    async def loras(self) -> list[LoraInfo]:
        loras: dict[str, LoraInfo] = {}
        for answer in await _all(endpoint.client.loras() for endpoint in self._answering()):
            for lora in answer or ():
                loras[lora.name] = _merged(loras[lora.name], lora) if lora.name in loras else lora
        return list(loras.values())

    async def check_ready(self) -> None:
        """Return if a job of some model would run now on one of them."""
        await _first(endpoint.client.check_ready() for endpoint in self._taking())

    def missing(self, is_it: Callable[[ModelCard], bool]) -> str | None:
        """Why a model that a server has, or may have, gets no jobs there now. None where there is no such server."""
        for endpoint in self.endpoints:
            if (why := endpoint.why_not()) and (endpoint.cards is None or any(map(is_it, endpoint.cards.values()))):
                return why
        return None

    def troubles(self) -> list[str]:
        """What is wrong with servers, or was done to them; nothing of a lone one."""
        return [why for endpoint in self.endpoints if (why := endpoint.why_not())] if len(self.endpoints) > 1 else []

    async def generate(self, model: str, spec: AnySpec, **options: Unpack[JobOptions]) -> AsyncGenerator[Event, None]:
        """See `Generator.generate`.

        Raises:
            ServerLost: instead of what ended the job, where another server can go on with it at once.
        """
        refusals: dict[Endpoint, Exception] = {}
        while True:
            endpoint = await self._choose(model, refusals)
            has_begun = False
            try:
                async with aclosing(endpoint.generate(model, spec, **options)) as events:
                    async for event in events:
                        has_begun = True
                        yield event
                return
            except (EngineUnavailable, ModelFailed) as error:
                if has_begun:
                    if self._able(model, ()):
                        raise ServerLost(error.message, loss=error) from error
                    raise
                refusals[endpoint] = error
            except (QueueFull, InvalidRequest) as error:
                # Another server may have room, or the adapter.
                if has_begun or (isinstance(error, InvalidRequest) and error.field != "lora"):
                    raise
                refusals[endpoint] = error

    async def _choose(self, model: str, refusals: dict[Endpoint, Exception]) -> Endpoint:
        """The server that a part of a job goes to.

        Args:
            refusals: of those that did not take it.

        Raises:
            EngineUnavailable: it can go nowhere.
            Exception: the best of the refusals.
        """
        able = self._able(model, refusals)
        unknown = [endpoint for endpoint in self._taking() if endpoint.is_unknown]
        if not able and unknown and len(self.endpoints) > 1:
            with suppress(FrontendError, PipelineError):
                await _all(endpoint.models() for endpoint in unknown)
            able = self._able(model, refusals)
        if not able:
            if refusals:
                raise _best(refusals.values())
            able = self._last_resort(model)
        return min(able, key=lambda one: (one.outstanding(model), one.outstanding(), self._chance()))

    def _say_different(self, endpoint: Endpoint, card: ModelCard) -> None:
        if (endpoint, card.id) not in self._different:
            self._different.add((endpoint, card.id))
            _log.warning("a server's model is another than an earlier one's", server=endpoint.name, model=card.id)

    def _able(self, model: str, tried: Iterable[Endpoint]) -> list[Endpoint]:
        """Those that are likely to run a job of `model`, and have the same one."""
        able = [endpoint for endpoint in self.endpoints if endpoint.can_take(model)]
        cards = [(endpoint.cards or {})[model] for endpoint in able]
        return [one for one, card in zip(able, cards, strict=True) if card == cards[0] and one not in tried]

    def _last_resort(self, model: str) -> list[Endpoint]:
        """Those that may have the model, healthy or not; where nobody is known to have it, those that can say so."""
        taking = self._taking()
        may_have = [one for one in taking if one.cards is None or model in one.cards]
        if may_have:
            return may_have
        if why := self.missing(lambda card: card.id == model):
            raise EngineUnavailable(why)
        return taking

    def _taking(self) -> list[Endpoint]:
        """Those that are not drained. Raises EngineUnavailable where all are."""
        taking = [endpoint for endpoint in self.endpoints if not endpoint.is_draining]
        if not taking:
            raise EngineUnavailable("; ".join(filter(None, (one.why_not() for one in self.endpoints))))
        return taking

    def _answering(self) -> list[Endpoint]:
        """Those of whom an answer is to be expected; all where that is nobody."""
        taking = self._taking()
        return [endpoint for endpoint in taking if endpoint.trouble is None] or taking


async def _all(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T | None]:
    """The answers, None of those that did not answer. Raises what the first one says where nobody does."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    for error in errors:
        if not isinstance(error, FrontendError | PipelineError) or len(errors) == len(answers):
            raise error
    return [None if isinstance(answer, BaseException) else answer for answer in answers]


async def _first(questions: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Return as soon as one goes well. Raises the error of a lone one, or EngineUnavailable with what each says."""
    asked = [asyncio.create_task(question) for question in questions]
    try:
        errors: list[EngineUnavailable | EngineFailed] = []
        for question in asyncio.as_completed(asked):
            try:
                return await question
            except (EngineUnavailable, EngineFailed) as error:
                errors.append(error)
        raise errors[0] if len(errors) == 1 else EngineUnavailable("; ".join(error.message for error in errors))
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


def _best(refusals: Iterable[Exception]) -> Exception:
    """A server with no room is worth waiting for, whatever the others say."""
    said = list(refusals)
    return next((error for error in said if isinstance(error, QueueFull)), said[0])


def _merged(one: LoraInfo, other: LoraInfo) -> LoraInfo:
    """An adapter that two servers have."""
    best = other if one.error and not other.error else one
    return best.model_copy(update={"models": list(dict.fromkeys([*one.models, *other.models]))})
