"""`python -m export` in the background: what makes the checkpoints that the server is to serve."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from pydantic import ValidationError

from launcher.child_environment import without_secrets
from launcher.child_process import prepare_child
from launcher.errors import SetupError, StartError, in_words
from launcher.log_file import LogFile
from launcher.settings import PROJECT_ROOT
from launcher.status_file import Coming, StatusFile
from protocol.export_events import ExportEvent
from protocol.repository import ENSEMBLE, OWN_REPOSITORY, VERSION, RepositoryStamp

logger = logging.getLogger(__name__)

_COMES = "export"
_NICE = 5
"""what is served goes first"""


def make_repository(folder: Path) -> None:
    """Put into it what tritonserver needs before any checkpoint is there: `generate`, of this release.

    Raises SetupError.
    """
    is_current = RepositoryStamp.read(folder).is_current
    for file in (f"{ENSEMBLE}/config.pbtxt", f"{ENSEMBLE}/{VERSION}/model.py"):
        try:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            if not is_current or not (folder / file).exists():
                shutil.copyfile(OWN_REPOSITORY / file, folder / file)
        except OSError as error:
            raise SetupError(f"Cannot write to the model repository {folder}: {in_words(error)}.") from error


class ExportProcess:
    """Exports checkpoints that the repository does not hold, once; what it says goes to the console and the status.

    The kernel kills it when the thread that called `start` ends.
    """

    def __init__(self, checkpoints: Sequence[Path], repository: Path, log: Path, status: StatusFile) -> None:
        self._checkpoints = checkpoints
        self._repository = repository
        self._log = LogFile(log)
        self._status = status
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._coming = {folder: Coming(folder.name, "waiting for its turn") for folder in checkpoints}

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Raises StartError when the system refuses."""
        command = [sys.executable, "-m", "export", "--events", "--to", str(self._repository)]
        self._status.coming(_COMES, list(self._coming.values()))
        try:
            self._log.path.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open() as log:
                self._process = subprocess.Popen(
                    [*command, *map(str, self._checkpoints)],
                    cwd=PROJECT_ROOT,
                    env=without_secrets(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=_prepare,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise StartError(f"Cannot start the export: {in_words(error)}.", self._log.path) from error
        Thread(target=self._listen, name="export", daemon=True).start()

    def stop(self) -> None:
        """Nothing half-written is left."""
        self._stopping = True
        if self._process is not None and self.is_running:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self._hear(ExportEvent.model_validate_json(line))
            except ValidationError:
                logger.warning("export: %s", line.decode(errors="replace").rstrip())
            self._status.coming(_COMES, list(self._coming.values()))
        code = self._process.wait()
        if self._stopping:
            return
        for folder, coming in self._coming.items():
            if coming.state != "failed":
                self._fail(folder, f"the export ended with status {code}; see {self._log.path}")
        self._status.coming(_COMES, list(self._coming.values()))

    def _hear(self, event: ExportEvent) -> None:
        if event.kind == "stage":
            self._under_way(event.message or "")
            return
        assert event.folder is not None
        match event.kind:
            case "planned":
                self._coming[event.folder] = Coming(
                    event.model or event.folder.name, "waiting for its turn", event.tasks
                )
                logger.info("exporting %s", event.model)
            case "exported":
                logger.info("exported %s of %s", event.message, self._coming[event.folder].model)
            case "published" | "unchanged":
                coming = self._coming.pop(event.folder)
                if event.kind == "published":
                    logger.info("%s is exported (%s)", coming.model, event.message)
            case "failed":
                self._fail(event.folder, event.message or "")

    def _under_way(self, stage: str) -> None:
        """The first that is not done is what is worked for."""
        for folder, coming in self._coming.items():
            if coming.state != "failed":
                self._coming[folder] = Coming(coming.model, stage, coming.tasks)
                return

    def _fail(self, folder: Path, reason: str) -> None:
        coming = self._coming[folder]
        self._coming[folder] = Coming(coming.model, reason, coming.tasks, "failed")
        logger.error("the export of %s failed: %s", coming.model, reason)


def _prepare() -> None:
    """Between fork and exec."""
    prepare_child()
    os.nice(_NICE)
