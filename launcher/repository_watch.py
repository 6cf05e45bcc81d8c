"""Takes checkpoints in and lets them go while the server runs, as their exports appear in the repository or go away.

A checkpoint that appears is served once its models are loaded. One that goes takes no more jobs, and its models are
unloaded when the jobs that it has are done. One that was exported anew does both, one after the other.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import ValidationError

from launcher.checkpoints import ExportedCheckpoint, Exports, look
from launcher.repository_api import RepositoryError
from launcher.settings import Settings
from launcher.status_file import Coming, StatusFile
from launcher.triton_server import TritonServer
from protocol.events import Refreshed

logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 0.5
_RETRY_SECONDS = 60.0
_COMES = "repository"
"""of what comes from here, in the status file"""


@dataclass(frozen=True)
class _Refused:
    """A checkpoint that could not be served."""

    state: object
    """of its folders; another is tried at once"""
    until: float
    """when the same is tried again, on time.monotonic()'s clock"""


class RepositoryWatch:
    """Call `look` now and then, from the thread that looks after tritonserver."""

    def __init__(self, settings: Settings, triton: TritonServer, status: StatusFile) -> None:
        self._folder: Path = settings.model_repository
        self._chosen = settings.models
        self._triton = triton
        self._status = status
        self._next = 0.0
        self._last: Exports | None = None
        self._refused: dict[str, _Refused] = {}
        """by folder"""
        self._failed: dict[str, Coming] = {}
        self._leaving: dict[str, ExportedCheckpoint] = {}

    def look(self) -> None:
        """Take in what is new, let go what has gone; what takes jobs in Triton's time is gone on with the next time."""
        if time.monotonic() < self._next or not self._triton.serves_jobs:
            return
        self._next = time.monotonic() + _INTERVAL_SECONDS
        found = look(self._folder, self._chosen)
        settled = found == self._last  # an export renames its folders one after the other
        self._last = found
        try:
            if settled:
                self._compare(found)
            self._unload_idle()
        except (httpx.HTTPError, RepositoryError, ValidationError) as error:
            logger.error("cannot change what tritonserver serves, trying again: %s", error)

    def _compare(self, found: Exports) -> None:
        self._say_broken(found)
        served = self._triton.checkpoints
        gone = {name: checkpoint for name, checkpoint in served.items() if found.complete.get(name) != checkpoint}
        if gone:
            self._leaving |= gone
            for checkpoint in gone.values():
                logger.info("%s takes no more jobs: its export was replaced or removed", checkpoint.card.id)
            self._serve({name: checkpoint for name, checkpoint in served.items() if name not in gone})
        for name, checkpoint in found.complete.items():
            is_known = name in self._triton.checkpoints or name in self._leaving
            if not is_known and not self._is_refused(name, checkpoint):
                self._take_in(name, checkpoint)

    def _take_in(self, name: str, checkpoint: ExportedCheckpoint) -> None:
        model_id = checkpoint.card.id
        busy = {model for leaving in self._leaving.values() for model in leaving.models}
        if any(model in busy and self._triton.loaded.get(model) != mark for model, mark in checkpoint.models.items()):
            return  # others still run on what it replaces
        began = time.monotonic()
        self._status.coming(
            _COMES, [*self._failed.values(), Coming(model_id, "its models", checkpoint.card.tasks, "loading")]
        )
        error = self._triton.take_in(checkpoint)
        if error is None:
            error = self._serve({**self._triton.checkpoints, name: checkpoint}).failed.get(name)
            if error is not None:
                self._serve({other: one for other, one in self._triton.checkpoints.items() if other != name})
                self._leaving[name] = checkpoint  # has no jobs, so that its models are unloaded
        if error is None:
            self._failed.pop(name, None)
            self._refused.pop(name, None)
            logger.info("%s is served (%.1f s)", model_id, time.monotonic() - began)
        else:
            self._refuse(name, checkpoint, model_id, error)
        self._status.coming(_COMES, list(self._failed.values()))

    def _serve(self, checkpoints: dict[str, ExportedCheckpoint]) -> Refreshed:
        """Tell `generate`."""
        return self._triton.serve(checkpoints)

    def _unload_idle(self) -> None:
        """Unload models of the checkpoints that have no jobs any more, unless others run on them."""
        if not self._leaving:
            return
        busy = set(self._triton.refresh().busy)
        idle = {name: checkpoint for name, checkpoint in self._leaving.items() if name not in busy}
        for name in idle:
            del self._leaving[name]
        used = {
            model: mark
            for checkpoint in (*self._triton.checkpoints.values(), *self._leaving.values())
            for model, mark in checkpoint.models.items()
        }
        for model in sorted({model for checkpoint in idle.values() for model in checkpoint.models} - used.keys()):
            self._triton.unload(model)
        for checkpoint in idle.values():
            logger.info("the models of %s are unloaded", checkpoint.card.id)

    def _say_broken(self, found: Exports) -> None:
        for name, reason in found.broken.items():
            if name not in self._triton.checkpoints:
                self._refuse(name, reason, name, reason)
        for name in [name for name in self._refused if name not in found.broken and name not in found.complete]:
            del self._refused[name]
            self._failed.pop(name, None)
        self._status.coming(_COMES, list(self._failed.values()))

    def _refuse(self, name: str, state: object, what: str, reason: str) -> None:
        """Say once that a checkpoint is not served."""
        former = self._refused.get(name)
        self._refused[name] = _Refused(state, time.monotonic() + _RETRY_SECONDS)
        if former is None or former.state != state:
            self._failed[name] = Coming(what, reason, state="failed")
            logger.error("%s is not served: %s", what, reason)

    def _is_refused(self, name: str, state: object) -> bool:
        refused = self._refused.get(name)
        return refused is not None and refused.state == state and time.monotonic() < refused.until
