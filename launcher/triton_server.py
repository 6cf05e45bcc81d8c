"""The tritonserver process with its models: start, watch, bring back, stop."""

import logging
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from pydantic import ValidationError

from launcher import shared_memory
from launcher.checkpoints import ExportedCheckpoint, Mark, in_order, look
from launcher.child_process import ChildProcess
from launcher.control_socket import ControlSocket, choose_parent
from launcher.errors import LoadStalled, SetupError, StartError
from launcher.load_watch import LoadWatch
from launcher.model_repository import read_repository
from launcher.model_swap import ModelSwap, SwapSocket
from launcher.release_check import check_release
from launcher.repository_api import RepositoryApi, RepositoryError
from launcher.residency import Machine, Residency, Wanted, decide
from launcher.settings import Ports, Settings
from launcher.stop_signal import StopSignal
from launcher.stub_processes import PREFIX_ARGUMENT, StubProcess, kill_leftovers, live_stubs
from launcher.triton_install import find_triton_install
from protocol.events import Refreshed
from protocol.heartbeat import HEARTBEAT_VARIABLE
from protocol.model_card import ModelCard
from protocol.placement import AUTO, DEVICE_VARIABLE, ENGINE_VARIABLE, WEIGHTS_BUDGET_VARIABLE, Device, parse_device
from protocol.repository import ENSEMBLE, RepositoryStamp
from protocol.residency import JOB_MEMORY_VARIABLE, SWAP_VARIABLE, Swap
from protocol.served import SERVED_VARIABLE, Served
from runtime.engine import EngineUnusable
from tracing.export import FRONTEND, SERVICE_VARIABLE, service_name, traces_url

logger = logging.getLogger(__name__)

_SERVER_START_SECONDS = 30.0
_EXIT_TIMEOUT_SECONDS = 3  # tritonserver waits so long for requests in flight
_STOP_GRACE_SECONDS = 6.0
_PARALLEL_LOADS = 4
# Of tritonserver. In `generate`'s, each call of another model holds one while it runs, of which each of its 8 running
# jobs has one at a time, and each response for a moment; the others need one or two, but all get the same number.
# With 16 a burst of 40 jobs takes as long as with 128, with 4 a third longer, with 2 twice as long.
_THREADS_PER_MODEL = 24
_STILL_LOADING_SECONDS = 5.0
# What tensors travel through between models on a GPU; beyond it each of them costs an allocation. A chunk of frames of
# 1280x720 takes 44 MB, twice, and the latents and prompts of a guided step as much.
_CUDA_POOL_BYTES = 512 * 2**20

# Who can load a model can run code. The launcher uses the control socket, and nobody needs these over gRPC, so their
# lock has no key: Triton waits for a header of this name, and gRPC refuses any request that has capitals in such a
# name. A secret would be none, as every user can read the arguments of every process.
_LOCKED = "--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:NO-KEY-OPENS-THIS=-"

# Triton's own spans: of each request whose headers say which trace it is a part of, and of no other one, which the rate
# sees to. It takes the collector's address and headers from the environment, where fewer can read them than here. 2.51
# takes the headers as they are, so a blank there must not be percent-encoded; it logs two lines of each batch that it
# cannot send; and it loses the spans of one request in ten or so, on which `generate` does not rely.
_TRACES = ("mode=opentelemetry", "level=TIMESTAMPS", f"rate={2**31 - 1}")
_SERVICE = "opentelemetry,resource=service.name"
_SPANS_AS_PARAMETERS = "--grpc-header-forward-pattern=traceparent|tracestate"
"""`generate` reads its client's span from there: of Triton's own, models are not told for one request in thirty"""


class TritonServer:
    """One tritonserver with every exported model of a repository. A context manager: started, then stopped.

    Call `start` from a thread that lives as long as the server is to live.
    """

    def __init__(self, settings: Settings, stop_signal: StopSignal | None = None) -> None:
        self._settings = settings
        self._stop_signal = stop_signal or StopSignal()
        self._process = ChildProcess(settings.logs / "triton.log")
        self._stubs: dict[str, list[StubProcess]] = {}
        self._decoupled: set[str] = set()
        self._has_started = False
        self.models: tuple[str, ...] = ()
        """all that are loaded"""
        self.loaded: dict[str, Mark] = {}
        """those that checkpoints run on, and what was loaded"""
        self.checkpoints: dict[str, ExportedCheckpoint] = {}
        """those that are served, by the name of the folder of their cards"""
        self.shm_prefix = shared_memory.new_prefix()
        self.socket = ControlSocket(self.shm_prefix, choose_parent())
        self._api = RepositoryApi(self.socket.path)
        self.swap = ModelSwap(self._api, lambda: self.pid, self._swapped_in, self._hung)
        self._swap_socket = SwapSocket(self.socket.swap, self.swap)
        self.residency: Residency | None = None
        """decided at the first start"""
        self._weights: dict[str, int] = {}
        """bytes, of the models that checkpoints run on"""

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """Of the checkpoints that are served."""
        return tuple(checkpoint.card for checkpoint in self.checkpoints.values())

    @property
    def serves_jobs(self) -> bool:
        """Whether `generate` is loaded: without it checkpoints cannot be served."""
        return self._process.running and ENSEMBLE in self.models

    @property
    def ports(self) -> Ports:
        return self._settings.ports

    @property
    def log(self) -> Path:
        return self._process.log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running_pid(self) -> int | None:
        return self._process.running_pid

    def answers(self) -> bool:
        """Whether tritonserver itself gives a sign of life, whatever its models do."""
        return self._api.server_live()

    @property
    def watched_models(self) -> list[str]:
        """Models that are loaded, and can be brought back alone.

        Not the decoupled ones: streams that are open when such a model's process dies never end, so tritonserver
        must end with it (`death`).
        """
        return [model for model in self.models if model not in self._decoupled and not self.swap.is_away(model)]

    @property
    def models_there(self) -> set[str]:
        """All that should have a process now."""
        return {model for model in self.models if not self.swap.is_away(model)}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Start and stop

    def start(self) -> None:
        """Returns when every model is loaded. Raises SetupError or StartError, with nothing left running.

        A load that hangs is tried once more: Triton itself may have lost it (`LoadWatch`).
        """
        try:
            self._start()
        except LoadStalled as error:
            logger.warning("%s; starting tritonserver once more", str(error).partition("\n")[0])
            self._start()
        self._has_started = True

    def _start(self) -> None:
        install = find_triton_install(self._settings.tritonserver)
        self._choose_models()
        backends = self._settings.run_dir.resolve() / "backends"
        install.assemble_backends(self._settings.backends, backends)
        self.socket.make()
        try:
            if self._swaps:
                self._swap_socket.open()
            self._process.start(
                [str(install.server), *self._arguments(self.socket.plain(backends, "backends"))],
                install.environment() | self._told_to_models(),
            )
            self._wait_for_server()
            self._load_all()
            self._leave_out_what_fails()
        except BaseException:
            self.kill()
            raise

    def _choose_models(self) -> None:
        """What to load: everything at first, and what was served before when it starts again."""
        settings = self._settings
        if settings.export:  # what is not there yet is being made
            if RepositoryStamp.read(settings.model_repository).is_current:
                check_release(settings.model_repository)
            found = look(settings.model_repository, settings.models).complete
            names = {ENSEMBLE, *(model for checkpoint in found.values() for model in checkpoint.models)}
            self.models = tuple(sorted(names))
        else:
            models = read_repository(settings.model_repository, settings.models)
            self.models, found = models.load, models.exports.complete
            if models.missing:
                logger.warning("exported checkpoints lack %s; export them again", ", ".join(models.missing))
        self.checkpoints = {
            name: checkpoint for name, checkpoint in found.items() if name in self.checkpoints or not self._has_started
        }
        self._choose_residency()
        self._write_served()

    def _choose_residency(self) -> None:
        """Decide it at the first start, and leave out what does not fit. Raises SetupError where nothing does."""
        wanted = {}
        for name, checkpoint in self.checkpoints.items():
            with suppress(OSError, ValueError):  # `generate` says what is wrong with it
                wanted[name] = self._wanted(checkpoint.card)
        if self.residency is None:
            settings = self._settings
            self.residency = decide(settings.residency, settings.weights_bytes, wanted.values(), self._machine)
            logger.info(self.residency.reason)
        self._weights.clear()
        refused = {}
        for name, one in wanted.items():
            reason = self.residency.why_not(one, self._weights)
            if reason is None:
                self._weights |= one.weights
            else:
                refused[name] = reason
        self._leave_out(refused)
        if self.residency.swaps:
            self.swap.take_in({model for checkpoint in self.checkpoints.values() for model in checkpoint.models})

    @cached_property
    def _machine(self) -> Machine:
        """Raises SetupError: there is no such GPU as was asked for."""
        try:
            return Machine.here(parse_device(self._settings.device or AUTO))
        except EngineUnusable as error:
            raise SetupError(f"--device: {error}.") from error

    def _wanted(self, card: ModelCard) -> Wanted:
        """Raises OSError or ValueError where the checkpoint's files cannot be read."""
        settings = self._settings
        return Wanted.of(card, settings.model_repository, self._machine.has_gpu, settings.engine, settings.device)

    def _leave_out(self, refused: Mapping[str, str]) -> None:
        """Checkpoints that do not fit; `RepositoryWatch` says it of them, unless nothing is left."""
        left = {name: checkpoint for name, checkpoint in self.checkpoints.items() if name not in refused}
        if refused and not left and not self._settings.export:
            lines = [f"{self.checkpoints[name].card.id} cannot be served: {why}." for name, why in refused.items()]
            raise SetupError("\n".join(lines))
        kept = {model for checkpoint in left.values() for model in checkpoint.models}
        gone = {model for name in refused for model in self.checkpoints[name].models} - kept
        self.models = tuple(model for model in self.models if model not in gone)
        self.checkpoints = left

    def _leave_out_what_fails(self) -> None:
        """Those that `generate` cannot open, though their models are loaded: `RepositoryWatch` says it of them."""
        if not self.checkpoints:
            return
        try:
            failed = self.refresh().failed
        except (httpx.HTTPError, RepositoryError, ValidationError) as error:
            raise StartError(f"`{ENSEMBLE}` does not say what it serves: {error}", self.log) from error
        self.checkpoints = {name: one for name, one in self.checkpoints.items() if name not in failed}

    def _write_served(self) -> None:
        self._settings.served_file.parent.mkdir(parents=True, exist_ok=True)
        Served(checkpoints=tuple(self.checkpoints)).write(self._settings.served_file)

    def stop(self) -> None:
        """Ends tritonserver and its model processes, and removes their shared memory."""
        self._process.stop(signal.SIGINT, _STOP_GRACE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Ends them at once: also requests in flight, whose clients get an error."""
        self._process.kill()
        self._swap_socket.close()
        self.swap.clear()
        kill_leftovers(self.shm_prefix)
        shared_memory.unlink_all(self.shm_prefix)
        self.socket.remove()
        self._stubs.clear()
        self.loaded.clear()

    # Checkpoints that come and go

    def take_in(self, checkpoint: ExportedCheckpoint) -> str | None:
        """Load what it runs on and is not loaded, unless it is loaded when needed.

        Returns why it cannot be, with nothing more loaded then.
        """
        wanted = [model for model, mark in checkpoint.models.items() if self.loaded.get(model) != mark]
        try:
            for model in [model for model in wanted if model in self.models]:
                self.unload(model)
            weights = self._wanted(checkpoint.card)
            if self.residency is not None and (reason := self.residency.why_not(weights, self._weights)):
                return reason
            if self._swaps:
                self.swap.take_in(wanted)
            failed = {} if self._swaps else self._load(wanted)
        except (StartError, httpx.HTTPError, RepositoryError, OSError, ValueError) as error:
            return str(error)
        loaded = [model for model in wanted if model not in failed]
        self.models = tuple(sorted({*self.models, *loaded}))
        self.loaded |= {model: checkpoint.models[model] for model in loaded}
        self._weights |= {model: size for model, size in weights.weights.items() if model not in failed}
        if not failed:
            return None
        for model in loaded:
            self.unload(model)
        return str(self._load_error(failed))

    def serve(self, checkpoints: Mapping[str, ExportedCheckpoint]) -> Refreshed:
        """Tell `generate` to serve these, all of whose models are loaded. Jobs of others go on."""
        self.checkpoints = in_order(checkpoints, self._settings.models)
        self._write_served()
        return self.refresh()

    def refresh(self) -> Refreshed:
        """What `generate` serves, and what still has jobs."""
        return self._api.refresh(ENSEMBLE)

    def unload(self, model: str) -> None:
        """Raises RepositoryError or httpx.HTTPError."""
        self.models = tuple(other for other in self.models if other != model)
        self.loaded.pop(model, None)
        self._stubs.pop(model, None)
        self._weights.pop(model, None)
        if not self.swap.let_go(model):
            self._api.unload(model)

    # Watch

    def rotate_log(self) -> None:
        """Call it now and then."""
        self._process.rotate_log()

    def death(self) -> str | None:
        """Why tritonserver must be started again, or None."""
        if not self._process.running:
            return f"tritonserver {self._process.exit_reason()}"
        for model in sorted(self._decoupled):
            reason = self.model_death(model)
            if reason is not None:
                return f"{reason}; the streams it had open end only with tritonserver"
        return None

    def model_death(self, model: str) -> str | None:
        """Why a model must be loaded again, or None. Triton 2.51 does not notice that its process ended."""
        moves = self.swap.moves(model)
        reason = self._model_death(model)
        came_or_went = self.swap.is_away(model) or self.swap.moves(model) != moves
        return None if came_or_went else reason

    def _model_death(self, model: str) -> str | None:
        known = self._stubs.get(model, [])
        if known and all(stub.alive for stub in known):
            return None
        try:
            loaded = self._api.model_ready(model)
        except httpx.TransportError:
            return None
        if not loaded:
            return f"model {model} was unloaded, and not by this launcher"
        running = live_stubs(self.pid).get(model, [])
        if len(running) < max(1, len(known)):
            return f"the process of model {model} ended"
        self._stubs[model] = running  # somebody loaded it again
        return None

    def reload(self, models: Sequence[str]) -> dict[str, StartError]:
        """Bring back models whose processes died, all at the same time. Returns why some did not load."""
        with self.swap.standing_still(models) as there:
            return self._reload(there)

    def _reload(self, models: Sequence[str]) -> dict[str, StartError]:
        errors: dict[str, StartError] = {}
        for model in models:
            for stub in self._stubs.pop(model, []):
                if not stub.alive:
                    shared_memory.unlink(stub.region)
                    shared_memory.heartbeat_file(self.shm_prefix, stub.process.pid).unlink(missing_ok=True)
            try:
                self._api.unload(model)
            except (httpx.TransportError, RepositoryError) as error:
                errors[model] = StartError(f"tritonserver cannot unload {model}: {error}", self.log)
        unloaded = [model for model in models if model not in errors]
        try:
            failed = self._load(unloaded)
        except StartError as error:
            return dict.fromkeys(models, error)
        return errors | {model: self._load_error({model: reason}) for model, reason in failed.items()}

    # Parts

    def _arguments(self, backends: Path) -> list[str]:
        settings, ports = self._settings, self.ports
        shm_bytes = settings.shm_region_mib * 2**20
        arguments = [
            f"--model-repository={self.socket.plain(settings.model_repository.resolve(), 'models')}",
            f"--backend-directory={backends}",
            "--model-control-mode=explicit",
            "--disable-auto-complete-config",
            f"--http-address=unix:{self.socket.path}",
            "--http-port=0",
            f"--grpc-address={settings.triton_host}",
            f"--grpc-port={ports.grpc}",
            _LOCKED,
            f"--metrics-address={settings.triton_host}",
            f"--metrics-port={ports.metrics}",
            PREFIX_ARGUMENT + self.shm_prefix,
            f"--backend-config=python,shm-default-byte-size={shm_bytes}",
            f"--backend-config=python,shm-growth-byte-size={shm_bytes}",
            f"--backend-config=python,thread-pool-size={_THREADS_PER_MODEL}",
            f"--exit-timeout-secs={_EXIT_TIMEOUT_SECONDS}",
        ]
        if not Path("/dev/nvidiactl").exists():
            arguments += ["--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0"]
        else:
            gpu = parse_device(settings.device or AUTO) or Device("cuda")
            if gpu.is_gpu:
                arguments.append(f"--cuda-memory-pool-byte-size={gpu.index}:{_CUDA_POOL_BYTES}")
        if settings.log_level == "debug":
            arguments.append("--log-verbose=1")
        if self._service:
            arguments += [f"--trace-config={setting}" for setting in (*_TRACES, f"{_SERVICE}={self._service}")]
            arguments.append(_SPANS_AS_PARAMETERS)
        return arguments

    def _told_to_models(self) -> dict[str, str]:
        """Environment variables that Triton's model processes read."""
        job_bytes = None if self.residency is None else self.residency.job_bytes
        return {
            "TRITONREEL_MODELS": " ".join(self._settings.models),
            "TRITONREEL_LORA_DIR": str(self._settings.lora_dir.resolve()),
            ENGINE_VARIABLE: self._settings.engine,
            DEVICE_VARIABLE: self._settings.device,
            SERVED_VARIABLE: str(self._settings.served_file),
            HEARTBEAT_VARIABLE: str(shared_memory.heartbeat_file(self.shm_prefix)),
            SWAP_VARIABLE: self._swap_of_models(),
            WEIGHTS_BUDGET_VARIABLE: "" if job_bytes is None or self.residency is None else str(self.residency.budget),
            JOB_MEMORY_VARIABLE: str(job_bytes) if job_bytes is not None else "",
            **({SERVICE_VARIABLE: self._service} if self._service else {}),
        }

    @property
    def _service(self) -> str | None:
        """What tritonserver is called in traces; None where there are none."""
        return f"{service_name(FRONTEND)}-triton" if traces_url() else None

    @property
    def _swaps(self) -> bool:
        return self.residency is not None and self.residency.swaps

    def _swap_of_models(self) -> str:
        if self.residency is None or not self.residency.swaps:
            return ""
        return Swap(socket=self._swap_socket.path, weights_bytes=self.residency.budget).model_dump_json()

    def _swapped_in(self, model: str) -> None:
        shared_memory.make_private(self.shm_prefix)
        self._stubs[model] = live_stubs(self.pid).get(model, [])

    def _hung(self, model: str) -> None:
        """Nothing less than the end of tritonserver ends a load that hangs; it is started again then."""
        logger.error("%s hung while loading; starting tritonserver again", model)
        self._process.kill()

    def _wait_for_server(self) -> None:
        deadline = time.monotonic() + _SERVER_START_SECONDS
        while not self._api.server_ready():
            if not self._process.running:
                raise self._start_error(f"tritonserver {self._process.exit_reason()} while starting.")
            if time.monotonic() > deadline:
                raise self._start_error(f"tritonserver was not ready after {_SERVER_START_SECONDS:.0f} s.")
            self._stop_signal.sleep(0.05)
        count = len(self.models_there)
        logger.info("tritonserver is up (pid %d), loading %d models", self.pid, count)

    def _load_all(self) -> None:
        # The ensemble first: it takes longest to start, and needs the others only once it has a job.
        stay = [model for model in self.models if model not in self.swap.models]
        failed = self._load(sorted(stay, key=lambda model: model != ENSEMBLE))
        if failed and (not self._settings.export or ENSEMBLE in failed):
            raise self._load_error(failed)
        self.models = tuple(model for model in self.models if model not in failed)
        self.checkpoints = {
            name: checkpoint for name, checkpoint in self.checkpoints.items() if not failed.keys() & checkpoint.models
        }
        marks = {model: mark for checkpoint in self.checkpoints.values() for model, mark in checkpoint.models.items()}
        self.loaded = {model: mark for model, mark in marks.items() if model in self.models}
        self._write_served()
        try:
            self._decoupled = {model for model in stay if model in self.models and self._api.is_decoupled(model)}
        except httpx.HTTPError as error:
            raise self._start_error(f"tritonserver does not describe its models: {error}.") from error

    def _load(self, models: Sequence[str]) -> dict[str, BaseException]:
        """Load `models`, some at a time, reporting each. Returns why some did not load.

        Raises StartError when one hangs, or tritonserver ends.
        """
        executor = ThreadPoolExecutor(_PARALLEL_LOADS, thread_name_prefix="load")
        began = time.monotonic()
        pending = {executor.submit(self._api.load, model): model for model in models}
        errors: dict[str, BaseException] = {}
        next_report = began + _STILL_LOADING_SECONDS
        watch = LoadWatch(self.pid)
        try:
            while pending:
                done = wait(pending, timeout=0.05).done
                self._stop_signal.sleep(0)
                self._collect(done, pending, errors, began)
                if pending and time.monotonic() > next_report:
                    logger.info(
                        "still loading %s (%.0f s)", ", ".join(sorted(pending.values())), time.monotonic() - began
                    )
                    next_report += _STILL_LOADING_SECONDS
                    begun = [model for load, model in pending.items() if load.running()]
                    if stalled := watch.stalled(begun):
                        self.kill()  # nothing less ends a load that hangs
                        raise LoadStalled(f"{', '.join(stalled)} hung while loading", self.log)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
        if not self._process.running:
            raise self._start_error(f"tritonserver {self._process.exit_reason()} while it loaded {', '.join(models)}.")
        shared_memory.make_private(self.shm_prefix)
        stubs = live_stubs(self.pid)
        self._stubs |= {model: stubs.get(model, []) for model in models if model not in errors}
        return errors

    @staticmethod
    def _collect(
        done: set[Future[None]], pending: dict[Future[None], str], errors: dict[str, BaseException], began: float
    ) -> None:
        for future in done:
            model = pending.pop(future)
            error = future.exception()
            if error is not None:
                errors[model] = error
            else:
                logger.info("loaded %s (%.1f s)", model, time.monotonic() - began)

    def _load_error(self, errors: Mapping[str, BaseException]) -> StartError:
        by_reason: dict[str, list[str]] = {}
        for name, error in errors.items():
            by_reason.setdefault(str(error), []).append(name)
        lines = [f"{_counted(names)} did not load: {reason}" for reason, names in by_reason.items()]
        return StartError("\n".join(lines), self.log)

    def _start_error(self, message: str) -> StartError:
        return StartError(f"{message}\nIts last lines:\n{self._process.last_lines()}", self.log)


def _counted(models: Sequence[str]) -> str:
    return f"Model{'s' * (len(models) > 1)} {', '.join(models)}"
