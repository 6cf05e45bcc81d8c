"""Watches what was started and brings back what died, for as long as it takes."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from launcher.errors import LauncherError
from launcher.frontend_process import FrontendProcess
from launcher.restart_policy import RestartPolicy
from launcher.status_file import StatusFile
from launcher.stop_signal import StopRequested, StopSignal
from launcher.triton_server import TritonServer

logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 0.25
_NOT_UP = "it did not start"


@dataclass
class _Watched:
    """Something that may die."""

    name: str
    log: Path
    death: Callable[[], str | None]
    """why it must be brought back, or None"""
    due: float | None = None
    """when to revive it, on time.monotonic()'s clock; None while it lives"""


class Supervisor:
    """Checks tritonserver, each model's processes and the frontend four times per second.

    The frontend has a thread of its own: the API stays up, and says what is wrong, while large models load again.
    """

    def __init__(
        self,
        triton: TritonServer,
        frontend: FrontendProcess | None,
        policy: RestartPolicy,
        status: StatusFile,
        stop_signal: StopSignal,
        chores: Sequence[Callable[[], None]] = (),
    ) -> None:
        """`chores` are done in each round, too."""
        self._chores = chores
        self._triton = triton
        self._frontend = frontend
        self._policy = policy
        self._status = status
        self._stop_signal = stop_signal
        self._server = _Watched("tritonserver", triton.log, triton.death)
        self._models = {model: self._watched_model(model) for model in triton.watched_models}

    def run(self) -> None:
        """Runs until StopRequested."""
        ended = Event()
        thread = Thread(target=self._keep_frontend, args=(ended,), name="frontend")
        thread.start()
        try:
            while True:
                self._check_triton()
                for chore in self._chores:
                    chore()
                self._stop_signal.sleep(_INTERVAL_SECONDS)
        finally:
            ended.set()
            thread.join()

    def _keep_frontend(self, ended: Event) -> None:
        if self._frontend is None:
            return
        frontend = self._frontend
        watched = _Watched("the frontend", frontend.log, frontend.death)
        try:
            while not ended.is_set():
                self._notice(watched)
                self._revive(watched, frontend.start)
                self._stop_signal.sleep(_INTERVAL_SECONDS)
        except StopRequested:
            pass
        finally:
            frontend.stop()  # in order: the kernel kills it when the thread that started it ends

    def _check_triton(self) -> None:
        if self._notice(self._server):
            self._triton.kill()
        self._revive(self._server, self._triton.start)
        if self._server.due is not None:  # models live and die with their server
            self._forget_models()
            return
        self._follow_models()
        for model in self._models.values():
            self._notice(model)
        now = time.monotonic()
        self._reload([name for name, model in self._models.items() if model.due is not None and now >= model.due])

    def _follow_models(self) -> None:
        """Watch what is loaded now."""
        models = self._triton.watched_models
        for name in self._models.keys() - set(models):
            self._status.back(self._models.pop(name).name)
        for name in models:
            if name not in self._models:
                self._models[name] = self._watched_model(name)

    def _notice(self, watched: _Watched) -> bool:
        """Whether it has died since the last round; then it is scheduled."""
        reason = watched.death() if watched.due is None else None
        if reason is not None:
            self._schedule(watched, reason, reason)
        return reason is not None

    def _revive(self, watched: _Watched, start: Callable[[], None]) -> None:
        """Start it if it is due."""
        if watched.due is None or time.monotonic() < watched.due:
            return
        began = time.monotonic()
        try:
            start()
        except (LauncherError, OSError) as error:
            self._schedule(watched, str(error), _NOT_UP)
        else:
            self._back(watched, began)

    def _reload(self, names: Sequence[str]) -> None:
        """Bring back models, all at the same time."""
        if not names:
            return
        began = time.monotonic()
        errors = self._triton.reload(names)
        if errors and self._triton.death() is not None:
            return  # they did not fail, their server did
        for name in names:
            if name in errors:
                self._schedule(self._models[name], str(errors[name]), _NOT_UP)
            else:
                self._back(self._models[name], began)

    def _forget_models(self) -> None:
        for model in self._models.values():
            if model.due is not None:
                model.due = None
                self._status.back(model.name)

    def _watched_model(self, model: str) -> _Watched:
        return _Watched(f"model {model}", self._triton.log, lambda: self._triton.model_death(model))

    def _back(self, watched: _Watched, began: float) -> None:
        watched.due = None
        self._status.back(watched.name)
        logger.warning("%s is back (%.1f s)", watched.name, time.monotonic() - began)

    def _schedule(self, watched: _Watched, reason: str, summary: str) -> None:
        """Bring it back when its policy says.

        Args:
            reason: for the console.
            summary: for clients of the API, whom tracebacks and paths do not concern.
        """
        restart = self._policy.died(watched.name, time.monotonic())
        watched.due = time.monotonic() + restart.delay
        when = f"in {restart.delay:.1f} s" if restart.delay else "now"
        logger.error("%s; bringing it back %s", reason, when)
        summary = f"{summary}; it is brought back {when}"
        if restart.keeps_dying:
            logger.error("%s keeps dying (%d times in a row); see %s", watched.name, restart.deaths, watched.log)
            summary = f"it keeps dying ({restart.deaths} times in a row, see {watched.log.name}): {summary}"
        self._status.schedule(watched.name, summary, restart.keeps_dying)
