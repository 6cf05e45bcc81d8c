"""Watches what was started and brings back what died."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import KeepsDyingError, SetupError, StartError
from launcher.frontend_process import FrontendProcess
from launcher.restart_policy import RestartPolicy
from launcher.stop_signal import StopSignal
from launcher.triton_server import TritonServer

logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 0.5


@dataclass
class _Watched:
    """Something that may die."""

    name: str
    log: Path
    death: Callable[[], str | None]
    """why it must be brought back, or None"""
    bury: Callable[[], None]
    """removes at once what is left of it"""
    revive: Callable[[], None]
    """returns when it works again; raises StartError or SetupError"""
    due: float | None = None
    """when to revive it, on time.monotonic()'s clock; None while it lives"""


class Supervisor:
    """Checks tritonserver, each model's processes and the frontend twice a second."""

    def __init__(
        self,
        triton: TritonServer,
        frontend: FrontendProcess | None,
        policy: RestartPolicy,
        stop_signal: StopSignal,
        chores: Sequence[Callable[[], None]] = (),
    ) -> None:
        """`chores` are done in each round, too."""
        self._chores = chores
        self._policy = policy
        self._stop_signal = stop_signal
        self._server = _Watched("tritonserver", triton.log, triton.death, triton.kill, triton.start)
        self._models = [_watched_model(triton, model) for model in triton.watched_models]
        self._frontend = [_watched_frontend(frontend)] if frontend else []

    def run(self) -> None:
        """Runs until StopRequested, or KeepsDyingError for what cannot be kept alive."""
        while True:
            self.check()
            for chore in self._chores:
                chore()
            self._stop_signal.sleep(_INTERVAL_SECONDS)

    def check(self) -> None:
        """One round over everything watched."""
        self._check(self._server)
        if self._server.due is None:  # models live and die with their server
            for model in self._models:
                self._check(model)
        else:
            for model in self._models:
                model.due = None
        for frontend in self._frontend:
            self._check(frontend)

    def _check(self, watched: _Watched) -> None:
        if watched.due is None:
            reason = watched.death()
            if reason is not None:
                watched.bury()
                self._schedule(watched, reason)
        if watched.due is not None and time.monotonic() >= watched.due:
            began = time.monotonic()
            try:
                watched.revive()
            except (SetupError, StartError) as error:
                self._schedule(watched, str(error))
            else:
                watched.due = None
                logger.warning("%s is back (%.1f s)", watched.name, time.monotonic() - began)

    def _schedule(self, watched: _Watched, reason: str) -> None:
        now = time.monotonic()
        try:
            delay = self._policy.delay(watched.name, now)
        except KeepsDyingError as error:
            raise KeepsDyingError(f"{error} Giving up.\nLast time: {reason}\nThe whole log: {watched.log}") from None
        watched.due = now + delay
        logger.error("%s; bringing it back %s", reason, f"in {delay:.1f} s" if delay else "now")


def _watched_model(triton: TritonServer, model: str) -> _Watched:
    return _Watched(
        name=f"model {model}",
        log=triton.log,
        death=lambda: triton.model_death(model),
        bury=lambda: None,
        revive=lambda: triton.reload(model),
    )


def _watched_frontend(frontend: FrontendProcess) -> _Watched:
    return _Watched("frontend", frontend.log, frontend.death, lambda: None, frontend.start)
