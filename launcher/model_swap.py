"""Loads and unloads models when `generate` asks for it, and knows which are away on purpose."""

import logging
import re
import socketserver
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock, Thread

import httpx
from pydantic import ValidationError

from launcher.load_watch import LoadWatch
from launcher.repository_api import RepositoryApi, RepositoryError
from launcher.stub_processes import live_stubs
from protocol.residency import Answer, Command

logger = logging.getLogger(__name__)

_GONE_SECONDS = 30.0
"""after this long the process of a model that is unloaded is killed"""
_POLL_SECONDS = 0.02
_LOOK_SECONDS = 1.0
"""how often a load that goes on is looked at"""
_FOLDERS = re.compile(r"(?<!\S)/(?:[^/\s]+/)+")
_LONGEST_REASON = 400
"""characters of what Triton says of a model"""


class ModelSwap:
    """The models that come and go. Thread-safe.

    What is loaded is watched by others; what is away, or on its way, is not.

    Args:
        api: of tritonserver.
        server_pid: its process.
        loaded: told of a model, before it counts as loaded.
        hung: told of a model whose load hangs, which only the end of tritonserver ends.
    """

    def __init__(
        self,
        api: RepositoryApi,
        server_pid: Callable[[], int],
        loaded: Callable[[str], None],
        hung: Callable[[str], None],
    ) -> None:
        self._api = api
        self._server_pid = server_pid
        self._loaded = loaded
        self._hung = hung
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)
        self._away: set[str] = set()
        self._models: frozenset[str] = frozenset()
        self._moves: Counter[str] = Counter()

    @property
    def models(self) -> frozenset[str]:
        """All that come and go."""
        return self._models

    def is_away(self, model: str) -> bool:
        """Whether it is away, or on its way."""
        return model in self._away

    def moves(self, model: str) -> int:
        """How often it was loaded or unloaded: what was seen of its process before is out of date after."""
        return self._moves[model]

    def take_in(self, models: Collection[str]) -> None:
        """These come and go from now on, and are away."""
        self._away |= set(models)
        self._models |= set(models)

    def let_go(self, model: str) -> bool:
        """This one comes and goes no more; whether it was away."""
        with self._locks[model]:
            was_away = model in self._away
            self._models -= {model}
            self._away.discard(model)
            return was_away

    def clear(self) -> None:
        """tritonserver has ended."""
        self._models = frozenset()
        self._away.clear()

    @contextmanager
    def standing_still(self, models: Sequence[str]) -> Iterator[list[str]]:
        """Meanwhile none of these comes or goes; gives those that are there."""
        with ExitStack() as stack:
            for model in sorted(models):
                stack.enter_context(self._locks[model])
            yield [model for model in models if model not in self._away]

    def load(self, model: str) -> None:
        """Returns when it is loaded. Raises RepositoryError or httpx.HTTPError."""
        with self._locks[model]:
            if model not in self._models:
                raise RepositoryError("it is not served any more")
            if model not in self._away:
                return
            self._load(model)
            self._loaded(model)
            self._moves[model] += 1
            self._away.discard(model)

    def unload(self, model: str) -> None:
        """Returns when its process has ended. Raises RepositoryError or httpx.HTTPError."""
        with self._locks[model]:
            if model in self._away or model not in self._models:
                return
            self._moves[model] += 1
            self._away.add(model)  # first: that its process ends is no death
            processes = live_stubs(self._server_pid()).get(model, [])
            try:
                self._api.unload(model)
            except (RepositoryError, httpx.HTTPError):
                self._away.discard(model)
                raise
            deadline = time.monotonic() + _GONE_SECONDS
            while any(stub.alive for stub in processes):
                if time.monotonic() > deadline:
                    logger.error("the process of %s does not end; killing it", model)
                    for stub in processes:
                        stub.process.kill()
                    return
                time.sleep(_POLL_SECONDS)

    def _load(self, model: str) -> None:
        executor = ThreadPoolExecutor(1, thread_name_prefix="swap")
        loading = executor.submit(self._api.load, model)
        watch = LoadWatch(self._server_pid())
        try:
            while not wait([loading], timeout=_LOOK_SECONDS).done:
                if watch.stalled([model]):
                    self._hung(model)
                    raise RepositoryError("it hung while loading")
        finally:
            executor.shutdown(wait=False)
        loading.result()


class SwapSocket:
    """Answers `generate` at a Unix socket, from `open` to `close`."""

    def __init__(self, path: Path, swap: ModelSwap) -> None:
        self.path = path
        self._swap = swap
        self._server: socketserver.BaseServer | None = None

    def open(self) -> None:
        """Raises OSError."""
        swap = self._swap

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    answer = _answer(swap, Command.model_validate_json(self.rfile.readline()))
                    self.wfile.write(answer.model_dump_json().encode() + b"\n")
                except (ValidationError, OSError):  # it went away
                    pass

        self._server = _Server(str(self.path), Handler)
        Thread(target=self._server.serve_forever, args=(0.1,), name="swap socket", daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self.path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False


def _answer(swap: ModelSwap, command: Command) -> Answer:
    try:
        match command.action:
            case "load":
                swap.load(command.model)
            case "unload":
                swap.unload(command.model)
    except (RepositoryError, httpx.HTTPError) as error:
        logger.error("cannot %s %s: %s", command.action, command.model, error)
        return Answer(error=_short(str(error) or type(error).__name__))
    return Answer()


def _short(reason: str) -> str:
    """What went wrong, without the traceback after it and the folders of this machine, which concern no client."""
    first = next((line.strip() for line in reason.splitlines() if line.strip()), reason)
    return _FOLDERS.sub("", first)[:_LONGEST_REASON]
