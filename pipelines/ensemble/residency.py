"""Loads models when calls need them, and unloads others, so that the loaded weights stay within a budget.

    AWAY -> LOADING -> LOADED -> UNLOADING -> AWAY

A call enters a model once that is loaded, and nothing is unloaded that a call, or the sequence of a VAE, is in. A job
holds one model at a time, so jobs cannot wait for each other in a circle.

Who waits first is served first. Room is made by what no job is at, least recently used first, then by what is only
loaded ahead, then by models whose turn is over: as long as others wait, a model has its turn for two seconds, and at
least for four times as long as it takes to load and unload it. So jobs at different models take turns, and about a
fifth of the time at most goes into that. A model whose turn is over lets nobody in any more, and goes when the calls
that are in it are done.

While nobody waits, the model that a job needs after its current one is loaded ahead where there is room beside what
jobs are at.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count
from typing import Any, Protocol

from protocol.errors import ModelFailed

LEAST_TURN_SECONDS = 2.0
TURN_PER_MOVE = 4.0
"""a turn in times of what it takes to load and unload the model"""


class ModelControl(Protocol):
    """Loads and unloads models. Both return when it is done, and raise an error whose text says why it cannot be."""

    async def load(self, model: str) -> None: ...

    async def unload(self, model: str) -> None: ...


class _State(Enum):
    AWAY = auto()
    LOADING = auto()
    LOADED = auto()
    UNLOADING = auto()


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A call that waits to enter a model."""

    place: int
    entered: asyncio.Future[None]


@dataclass(eq=False)
class _Model:
    name: str
    bytes: int
    state: _State = _State.AWAY
    inside: int = 0
    """calls and sequences"""
    waiting: deque[_Waiting] = field(default_factory=deque)
    is_closing: bool = False
    """lets nobody in, since others need its room"""
    is_served: bool = True
    is_new: bool = True
    """was never loaded, and would be if nobody needed the room"""
    loaded_at: float = 0.0
    load_seconds: float = 0.0
    unload_seconds: float = 0.0
    used_at: float = 0.0
    stuck_until: float = 0.0
    """could not be unloaded, and is not tried again before"""
    has_failed: bool = False
    """when it was last to be loaded"""

    @property
    def may_load_ahead(self) -> bool:
        return self.state is _State.AWAY and self.is_served and not self.has_failed

    @property
    def turn_ends(self) -> float:
        return self.loaded_at + max(LEAST_TURN_SECONDS, TURN_PER_MOVE * (self.load_seconds + self.unload_seconds))


@dataclass(eq=False)
class _Job:
    """Where a job is on its way through models."""

    route: Sequence[str]
    at: str | None = None

    @property
    def next(self) -> str | None:
        """The model that it needs after the one that it is at."""
        following = 0 if self.at is None else self.route.index(self.at) + 1
        return self.route[following] if following < len(self.route) else None


_JOB: ContextVar[_Job | None] = ContextVar("job", default=None)


class Residency:
    """Which models are loaded. Use it from one event loop.

    Args:
        control: loads and unloads.
        budget: bytes that the weights of loaded models may take together.
        changed: told what was loaded or unloaded, how long that took in seconds, and the bytes that are loaded now.
        failed: told a sentence when loading ahead, or unloading, has failed.
        clock: seconds.
    """

    def __init__(
        self,
        control: ModelControl,
        budget: int,
        changed: Callable[[str, bool, float, int], None] = lambda model, is_loaded, seconds, loaded: None,
        failed: Callable[[str], None] = lambda sentence: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._control = control
        self._budget = budget
        self._changed = changed
        self._failed = failed
        self._clock = clock
        self._models: dict[str, _Model] = {}
        self._jobs: list[_Job] = []
        self._places = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loads_new = False

    @property
    def unused_bytes(self) -> int:
        """Of the budget."""
        return self._budget - sum(model.bytes for model in self._models.values() if model.state is not _State.AWAY)

    def unloaded_bytes(self) -> int:
        """What is still to be loaded, at most, of the models that there are: no more than is unused."""
        return min(self.unused_bytes, sum(m.bytes for m in self._models.values() if m.state is _State.AWAY))

    def add(self, weights: Mapping[str, int], streaming: Collection[str] = ()) -> None:
        """Models that there are from now on, and the bytes of their weights.

        Args:
            streaming: those of them that take no more than the budget, whatever their weights are.

        Raises:
            ValueError: one alone is more than the budget.
        """
        weights = {name: min(size, self._budget) if name in streaming else size for name, size in weights.items()}
        for name, size in weights.items():
            if size > self._budget:
                raise ValueError(
                    f"the weights of {name} take {size / 1e9:,.2f} GB, and those of loaded models may take "
                    f"{self._budget / 1e9:,.2f} GB: raise --weights-memory"
                )
        for name, size in weights.items():
            model = self._models.setdefault(name, _Model(name, size))
            model.bytes, model.is_served = size, True

    def keep(self, names: Collection[str]) -> None:
        """Unload, and forget, the models that are not among these, unless jobs are at them; load those that are new."""
        needed = {name for job in self._jobs for name in job.route}.union(names)
        for model in self._models.values():
            model.is_served = model.name in needed or bool(model.inside or model.waiting)
        self._loads_new = True
        self._schedule()

    @contextmanager
    def job(self, route: Sequence[str]) -> Iterator[None]:
        """What runs inside is a job that needs these models, in this order."""
        job = _Job(route)
        self._jobs.append(job)
        token = _JOB.set(job)
        try:
            yield
        finally:
            _JOB.reset(token)
            self._jobs.remove(job)
            self._schedule()

    @asynccontextmanager
    async def call(self, name: str) -> AsyncIterator[None]:
        """The model is loaded inside.

        Raises:
            ModelFailed: it cannot be loaded.
        """
        await self.enter(name)
        try:
            yield
        finally:
            self.leave(name)

    async def enter(self, name: str) -> None:
        """As `call`, until `leave`."""
        model = self._models.get(name)
        if model is None or not model.is_served:
            raise ModelFailed(f"{name} is not served any more")
        job = _JOB.get()
        if job is not None and name in job.route:
            job.at = name
        waiting = _Waiting(next(self._places), asyncio.get_running_loop().create_future())
        model.waiting.append(waiting)
        self._schedule()
        try:
            await waiting.entered
        except asyncio.CancelledError:
            if waiting in model.waiting:
                model.waiting.remove(waiting)
                self._schedule()
            elif waiting.entered.exception() is None:
                self.leave(name)
            raise

    def leave(self, name: str) -> None:
        model = self._models[name]
        model.inside -= 1
        model.used_at = self._clock()
        self._schedule()

    # Decisions

    def _schedule(self) -> None:
        """Do what can be done now. Called after every change."""
        for model in self._models.values():
            model.is_closing = not model.is_served
        self._make_room()
        now = self._clock()
        for model in [model for model in self._models.values() if model.state is _State.LOADED]:
            if not model.is_closing:
                self._let_in(model)
            elif model.inside == 0 and now >= model.stuck_until:
                self._unload(model)
        if not self._queue():
            self._load_ahead()
        for model in list(self._models.values()):
            if not model.is_served and model.state is _State.AWAY:
                del self._models[model.name]

    def _queue(self) -> list[_Model]:
        """Models that are not there and that calls wait for, who waits longest first."""
        wanted = [m for m in self._models.values() if m.waiting and m.state in (_State.AWAY, _State.UNLOADING)]
        return sorted(wanted, key=lambda model: model.waiting[0].place)

    def _make_room(self) -> None:
        """Load what calls wait for as far as there is room, and close others for the first that has none.

        Those behind it take no room that it waits for.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        spare: int | None = None
        for model in [model for model in self._queue() if model.state is _State.AWAY]:
            room = self.unused_bytes if spare is None else min(spare, self.unused_bytes)
            if model.bytes <= room:
                self._load(model)
                spare = None if spare is None else spare - model.bytes
            elif spare is None:
                spare = self._close_others_for(model)

    def _close_others_for(self, model: _Model) -> int:
        """Make room, now or when a turn ends; the bytes that there will be beside it."""
        room = self.unused_bytes + self._leaving_bytes
        victims = _enough(self._that_may_go(), model.bytes - room)
        if victims is None:
            self._look_again_when_a_turn_ends()
            victims = [other for other in self._models.values() if other.state is _State.LOADED and other.is_served]
        else:
            for victim in victims:
                victim.is_closing = True
        return max(0, room + sum(victim.bytes for victim in victims) - model.bytes)

    @property
    def _leaving_bytes(self) -> int:
        """Of models that go, whoever needs their room."""
        leaving = (m for m in self._models.values() if m.state is _State.UNLOADING or self._is_dropped(m))
        return sum(model.bytes for model in leaving)

    @staticmethod
    def _is_dropped(model: _Model) -> bool:
        return model.state is _State.LOADED and not model.is_served

    def _that_may_go(self) -> list[_Model]:
        """In this order: what nobody is at; what is loaded ahead; what has had its turn."""
        now = self._clock()
        at = {job.at for job in self._jobs}
        ahead = {job.next for job in self._jobs}

        def rank(model: _Model) -> int | None:
            if now < model.stuck_until:
                return None
            if model.inside or model.waiting or model.name in at:
                return 2 if now >= model.turn_ends else None
            return 1 if model.name in ahead else 0

        loaded = [model for model in self._models.values() if model.state is _State.LOADED and model.is_served]
        ranked = [(place, model.used_at, model) for model in loaded if (place := rank(model)) is not None]
        return [model for *_, model in sorted(ranked, key=lambda one: one[:2])]

    def _look_again_when_a_turn_ends(self) -> None:
        now = self._clock()
        loaded = [model for model in self._models.values() if model.state is _State.LOADED]
        later = [end for model in loaded for end in (model.turn_ends, model.stuck_until) if end > now]
        if later:
            self._timer = asyncio.get_running_loop().call_later(min(later) - now, self._schedule)

    def _let_in(self, model: _Model) -> None:
        while model.waiting:
            waiting = model.waiting.popleft()
            if not waiting.entered.done():
                model.inside += 1
                model.used_at = self._clock()
                waiting.entered.set_result(None)

    def _load_ahead(self) -> None:
        """Load what jobs need next, in place of what nobody is at; without jobs what is new, where there is room."""
        needed = {job.at for job in self._jobs} | {job.next for job in self._jobs}
        idle = [model for model in self._that_may_go() if not model.inside and model.name not in needed]
        for name in [job.next for job in self._jobs if job.at is not None and job.next is not None]:
            model = self._models.get(name)
            if model is None or not model.may_load_ahead:
                continue
            if model.bytes <= self.unused_bytes:
                self._load(model)
                continue
            victims = _enough(idle, model.bytes - self.unused_bytes - self._leaving_bytes)
            if victims is not None:
                for victim in victims:
                    self._unload(victim)
                return  # it is loaded when they are gone
        is_moving = any(model.state in (_State.LOADING, _State.UNLOADING) for model in self._models.values())
        if is_moving or self._jobs or not self._loads_new:
            return
        for model in self._models.values():
            if model.is_new and model.may_load_ahead and model.bytes <= self.unused_bytes:
                self._load(model)
                return

    # What takes time

    def _load(self, model: _Model) -> None:
        model.state, model.is_new = _State.LOADING, False
        self._start(self._loading(model))

    def _unload(self, model: _Model) -> None:
        model.state = _State.UNLOADING
        self._start(self._unloading(model))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, context=Context())  # it is no part of the job that has caused it
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _loading(self, model: _Model) -> None:
        began = self._clock()
        try:
            await self._control.load(model.name)
        except Exception as error:  # whatever it is, those who wait must hear of it
            model.state, model.has_failed = _State.AWAY, True
            sentence = f"{model.name} could not be loaded: {error}"
            if not model.waiting:
                self._failed(sentence)
            _fail(model, sentence)
        else:
            model.state, model.has_failed = _State.LOADED, False
            model.loaded_at = model.used_at = self._clock()
            model.load_seconds = model.loaded_at - began
            self._changed(model.name, True, model.load_seconds, self._budget - self.unused_bytes)
        self._schedule()

    async def _unloading(self, model: _Model) -> None:
        began = self._clock()
        try:
            await self._control.unload(model.name)
        except Exception as error:  # whatever it is: the models that need its room cannot be loaded now
            model.state, model.stuck_until = _State.LOADED, self._clock() + LEAST_TURN_SECONDS
            sentence = f"{model.name} could not be unloaded: {error}"
            self._failed(sentence)
            for waiting in self._queue():
                _fail(waiting, f"there is no room for {waiting.name}: {sentence}")
        else:
            model.state, model.unload_seconds = _State.AWAY, self._clock() - began
            self._changed(model.name, False, model.unload_seconds, self._budget - self.unused_bytes)
        self._schedule()


def _fail(model: _Model, sentence: str) -> None:
    while model.waiting:
        waiting = model.waiting.popleft()
        if not waiting.entered.done():
            waiting.entered.set_exception(ModelFailed(sentence))


def _enough(models: Sequence[_Model], missing: int) -> list[_Model] | None:
    """The first that give so many bytes together, without those that are not needed for it; None: all do not."""
    chosen: list[_Model] = []
    for model in models:
        if missing <= 0:
            break
        chosen.append(model)
        missing -= model.bytes
    if missing > 0:
        return None
    for model in chosen[:-1]:
        if missing + model.bytes <= 0:
            chosen.remove(model)
            missing += model.bytes
    return chosen
