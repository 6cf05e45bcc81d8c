"""The ensemble as a Triton model: takes requests from Triton, runs them as jobs, and streams what they make."""

from __future__ import annotations  # Triton makes its classes later than it imports this

import asyncio
import json
import math
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, nullcontext, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as pb_utils
from opentelemetry.trace import SpanKind

from pipelines.checkpoint import read_checkpoint
from pipelines.condition_cache import ConditionCache
from pipelines.engine_limits import EngineLimits
from pipelines.ensemble.admission import Admission
from pipelines.ensemble.bls import BlsRunner
from pipelines.ensemble.checkpoint_sender import CheckpointSender
from pipelines.ensemble.identity import job_identity, model_identity
from pipelines.ensemble.job import Job
from pipelines.ensemble.memory import MemoryBudget, MemoryEstimate
from pipelines.ensemble.metrics import Metrics
from pipelines.ensemble.preview_sender import PreviewSchedule, PreviewSender
from pipelines.ensemble.quick_import import without_torch_compiler
from pipelines.ensemble.residency import Residency
from pipelines.ensemble.responses import Responder, read_fields, read_span
from pipelines.ensemble.settings import Settings
from pipelines.ensemble.swapping import LauncherControl, SwappingEvaluate, SwappingRunner, route
from pipelines.frames import to_uint8
from pipelines.lora.adapters import Adapters
from pipelines.lora.folder import LORA_DIR_VARIABLE, LoraFolder
from pipelines.runner import Evaluate, Inputs, ModelRunner
from pipelines.step_batcher import StepBatcher
from protocol.errors import Cancelled, InvalidRequest, PipelineError
from protocol.events import LONGEST_MESSAGE, Done, JobTimings, Loras, Models, Refreshed
from protocol.heartbeat import Heartbeat
from protocol.model_card import ModelCard
from protocol.placement import AUTO, DEVICE_VARIABLE, parse_device
from protocol.printable import LONGEST, printable
from protocol.residency import JOB_MEMORY_VARIABLE, Swap, weights_bytes
from protocol.resolve import parse, resolve
from protocol.sampling import Spec
from protocol.served import SERVED_VARIABLE, Served
from runtime.bands import BandPlan
from runtime.latent_colours import LatentColours
from runtime.placement import sampling_device
from tracing.export import TRITON, start_traces, stop_traces
from tracing.spans import describe, span, trace_id

with without_torch_compiler():
    from pipelines.families import Pipeline, Pipelines

# Set by the launcher: ids of the models to serve, with spaces between them; absent or empty for all.
MODELS_VARIABLE = "TRITONREEL_MODELS"
HEARTBEAT_SECONDS = 1.0
# BLS calls and sends wait in threads; asyncio's own pool is a handful of threads on a small machine.
IO_THREADS = 32
FINALIZE_SECONDS = 2.0
MAX_PREVIEWS = 16


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        settings = Settings.read(json.loads(args["model_config"]))
        start_traces(TRITON)
        # Schedulers work on small tensors; more threads would only take cores from the leaf models.
        torch.set_num_threads(1)
        self._metrics = Metrics(args["model_name"], args["model_version"])
        self._runner = BlsRunner()
        self._step_rows: dict[str, int] = {}
        self._batcher = StepBatcher(
            self._evaluate, settings.max_step_batch, settings.max_step_elements, rows_of=self._step_rows
        )
        self._residency = self._open_residency()
        asked = parse_device(os.environ.get(DEVICE_VARIABLE) or AUTO)
        self._device = torch.device(str(sampling_device(asked)))
        on_gpu = self._device.type == "cuda"
        # what is left of a GPU's memory only the launcher knows
        job_bytes = settings.memory_mib * 2**20 or int(os.environ.get(JOB_MEMORY_VARIABLE) or 0)
        memory = self._memory_budget(job_bytes or None) if job_bytes or not on_gpu else None
        self._admission = Admission(
            settings.max_running_jobs, settings.max_waiting_jobs, self._metrics.queue_changed, memory
        )
        folder = Path(args["model_repository"], args["model_version"])
        chosen = os.environ.get(MODELS_VARIABLE, "").split()
        root = os.environ.get(LORA_DIR_VARIABLE)
        loras = LoraFolder(Path(root) if root else None)
        cache = ConditionCache(
            settings.condition_cache_mib * 2**20, self._metrics.condition_looked_up, self._metrics.conditions_kept
        )
        self._models = folder.parents[1]
        limits = partial(EngineLimits.here, self._models)
        self._pipelines = Pipelines(folder, *self._how_models_run(), chosen, loras, cache, self._device, limits)
        self._plans: dict[str, BandPlan] = {}
        self._colours: dict[str, LatentColours] = {}
        self._identities: dict[str, str] = {}
        self._max_checkpoint_bytes = settings.max_checkpoint_mib * 2**20
        self._estimate = MemoryEstimate(settings.max_step_batch, settings.max_step_elements, self._plans, on_gpu)
        self._refreshing = asyncio.Lock()
        served = os.environ.get(SERVED_VARIABLE)
        self._served = Path(served) if served else None
        self._take_in_those_that_work(
            Served.read(self._served).checkpoints if self._served else self._pipelines.exported()
        )
        self._tasks: set[asyncio.Task[None]] = set()
        # Not the loop that an `async def execute` gets: Triton keeps each of its calls in a set from which it takes
        # those that end early before it has put them in. It logs an error then, and keeps them for good.
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(IO_THREADS, thread_name_prefix="io"))
        threading.Thread(target=self._run_jobs, name="jobs", daemon=True).start()
        self._heartbeat = Heartbeat()
        self._heartbeat.start()
        self._beating = asyncio.run_coroutine_threadsafe(self._heartbeat.take_over(), self._loop)
        self._loop.call_soon_threadsafe(self._keep_models)

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> None:
        for request in requests:
            self._loop.call_soon_threadsafe(self._start, request)

    def finalize(self) -> None:
        """Called when the model is unloaded: requests that are still there end with an error."""
        self._heartbeat.stop()
        ended = asyncio.run_coroutine_threadsafe(self._end_all(), self._loop)
        with suppress(TimeoutError):  # a call of another model is under way
            ended.result(FINALIZE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        stop_traces()

    def _run_jobs(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)  # of this thread: torch hands on only what is on the current one
        self._loop.run_forever()
        self._loop.close()

    def _start(self, request: pb_utils.InferenceRequest) -> None:
        task = self._loop.create_task(self._respond(request, Responder(request.get_response_sender())))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _respond(self, request: pb_utils.InferenceRequest, responder: Responder) -> None:
        """Serve one request; whatever happens, its client gets a final response."""
        # Any client of Triton chooses it, and Triton writes log lines as they are.
        request_id = printable(request.request_id(), LONGEST)
        try:
            fields = read_fields(request)
            match fields.pop("task", "generate"):
                case "describe":
                    await responder.last(Models(models=tuple(self._pipelines.cards)))
                case "loras":
                    loras = await asyncio.to_thread(self._pipelines.loras)
                    await responder.last(Loras(loras=tuple(loras)))
                case "refresh":
                    await responder.last(await self._refresh())
                case "generate":
                    with span(
                        "generate job", {"request_id": request_id}, parent=read_span(request), kind=SpanKind.SERVER
                    ):
                        if of_trace := trace_id():
                            request_id = f"{request_id} (trace {of_trace})"
                        await self._generate(fields, responder, request_id)
                case _:
                    raise InvalidRequest("must be generate, describe or loras", "task")
        except Cancelled as error:
            self._metrics.job_cancelled()
            await responder.error(error)
        except PipelineError as error:
            self._metrics.job_failed()
            pb_utils.Logger.log_warn(f"job {request_id}: {printable(error.log_line, LONGEST_MESSAGE)}")
            await responder.error(error)
        except BaseException as error:
            self._metrics.job_failed()
            pb_utils.Logger.log_error(f"job {request_id}: {printable(repr(error), LONGEST_MESSAGE)}")
            await responder.error(PipelineError(f"{type(error).__name__}: {error}"))

    def _open_residency(self) -> Residency | None:
        """None where every model stays loaded."""
        swap = Swap.from_environment()
        if swap is None:
            return None
        control, log = LauncherControl(swap.socket), pb_utils.Logger
        return Residency(control, swap.weights_bytes, self._metrics.model_moved, failed=log.log_error)

    def _how_models_run(self) -> tuple[ModelRunner, Evaluate]:
        if self._residency is None:
            return self._runner, self._batcher.evaluate
        evaluate = SwappingEvaluate(self._batcher.evaluate, self._residency)
        return SwappingRunner(self._runner, self._residency), evaluate

    def _memory_budget(self, limit_bytes: int | None) -> MemoryBudget:
        residency = self._residency
        return MemoryBudget(limit_bytes) if residency is None else MemoryBudget(limit_bytes, residency.unloaded_bytes)

    def _keep_models(self) -> None:
        if self._residency is not None:
            self._residency.keep(self._pipelines.models)

    async def _refresh(self) -> Refreshed:
        """Serve what the launcher says now. Jobs that there are go on."""
        failed = {}
        async with self._refreshing:
            wanted = Served.read(self._served).checkpoints if self._served else self._pipelines.folders
            self._pipelines.drop([name for name in self._pipelines.folders if name not in wanted])
            for name in [name for name in wanted if name not in self._pipelines.folders]:
                try:
                    self._take_in(name, *await asyncio.to_thread(self._pipelines.open, name))
                except Exception as error:  # whatever it is, the others are not to suffer from it
                    failed[name] = str(error) or repr(error)
            self._keep_models()
            return Refreshed(served=self._pipelines.folders, busy=self._pipelines.busy, failed=failed)

    def _take_in_those_that_work(self, names: Sequence[str]) -> None:
        """Raises what is wrong with the last one if none can be served."""
        wrong: Exception | None = None
        for name in names:
            try:
                self._take_in(name, *self._pipelines.open(name))
            except Exception as error:  # whatever it is, the others are not to suffer from it
                pb_utils.Logger.log_error(f"{name} is not served: {printable(repr(error), LONGEST_MESSAGE)}")
                wrong = error
        if wrong is not None and not self._pipelines.folders:
            raise wrong

    def _take_in(self, name: str, pipeline: Pipeline[Any], adapters: Adapters) -> None:
        """Serve a checkpoint. Raises FileNotFoundError where its VAE is of another release, and ValueError where one of
        its models never fits."""
        parts = pipeline.card.components
        limits = EngineLimits.here(self._models, pipeline.card)
        by_component = parts.model_dump(exclude_none=True)
        if self._residency is not None:
            weights = {model: weights_bytes(self._models / model / "1") for model in parts.names()}
            self._residency.add(weights, {by_component[component] for component in limits.streaming})
        vaes = [model for model in (parts.vae, parts.vae_encoder) if model is not None]
        self._plans |= {model: BandPlan.read(self._models / model / "1") for model in vaes}
        self._colours[parts.vae] = LatentColours.read(self._models / parts.vae / "1")
        for component, model in by_component.items():
            self._step_rows.pop(model, None)
            if component in limits.rows:
                self._step_rows[model] = limits.rows[component]
        self._identities[pipeline.card.id] = model_identity(pipeline.card, self._models, self._device)
        self._pipelines.take_in(name, pipeline, adapters)

    async def _generate(self, fields: dict[str, Any], responder: Responder, request_id: str) -> None:
        pipeline = self._pipelines.get(fields.pop("model", None))
        with self._pipelines.job_of(pipeline):
            await self._make(pipeline, fields, responder, request_id)

    async def _make(
        self, pipeline: Pipeline[Any], fields: dict[str, Any], responder: Responder, request_id: str
    ) -> None:
        timeout = _timeout(fields.pop("timeout_seconds", None))
        interval = _interval("checkpoint_seconds", fields.pop("checkpoint_seconds", 0.0))
        schedule = _preview_schedule(fields.pop("previews", 0), fields.pop("preview_seconds", 0.0))
        resume = fields.pop("resume").tobytes() if "resume" in fields else None
        params = resolve(parse(_loose(fields)), pipeline.card)
        warnings: tuple[str, ...] = ()
        if params.lora:
            warnings = await asyncio.to_thread(self._pipelines.adapters(pipeline.card.id).check, params.lora)
        describe(
            {"model": pipeline.card.id, "width": params.width, "height": params.height, "frames": params.num_frames}
        )
        need = self._estimate.of(params, pipeline.card)
        identity = cache(partial(self._identity, params, pipeline.card))
        state = None
        if resume is not None:
            state = await asyncio.to_thread(lambda: read_checkpoint(resume, identity()))
        if state is not None:
            pb_utils.Logger.log_info(f"job {request_id} goes on after step {state.steps_done}")
        steps, colours = params.num_inference_steps, self._colours[pipeline.card.components.vae]

        def warn(message: str) -> None:
            pb_utils.Logger.log_warn(f"job {request_id}: {printable(message, LONGEST_MESSAGE)}")

        checkpoints = CheckpointSender(
            identity, steps, interval, self._max_checkpoint_bytes, responder.checkpoint, warn
        )
        previews = PreviewSender(schedule, steps, colours, responder.preview, warn)
        job = Job(
            pipeline,
            params,
            responder.is_cancelled,
            responder.progress,
            timeout,
            need,
            state,
            checkpoints.offer,
            previews.offer,
        )
        heartbeat = asyncio.create_task(_beat(job, responder))
        models = route(pipeline.card, params.image is not None)
        try:
            with self._residency.job(models) if self._residency else nullcontext():
                async with aclosing(job.run(self._admission)) as chunks:
                    async for frames in chunks:
                        pixels = await asyncio.to_thread(to_uint8, frames)
                        await responder.frames(pixels, job.progress)
            await previews.finish()
        finally:
            heartbeat.cancel()
            await checkpoints.close()
            await previews.close()
        done = _report(job)
        done = done.model_copy(update={"warnings": (*warnings, *done.warnings)})
        await responder.last(done)
        self._metrics.job_done(done.timings.total_seconds)
        pb_utils.Logger.log_info(f"job {request_id}: {done.timings.model_dump_json()}")

    def _identity(self, params: Spec, card: ModelCard) -> str:
        adapters = self._pipelines.adapters(card.id)
        components = ("transformer",) if card.components.transformer_2 is None else ("transformer", "transformer_2")
        used = [adapters.shared(params.lora, component) for component in components]
        return job_identity(self._identities[card.id], params, used)

    async def _evaluate(self, model: str, inputs: Inputs) -> torch.Tensor:
        """One transformer batch."""
        started = time.monotonic()
        output = await self._runner.infer(model, inputs, "sample")
        self._metrics.batch_done(time.monotonic() - started, len(output))
        return output


async def _beat(job: Job, responder: Responder) -> None:
    """Show that the job is alive even when a step or the queue is long: silence means that this process has died."""
    while True:
        if not responder.is_busy:  # a client that does not take what is sent is not sent more
            await responder.progress(job.progress)
        await asyncio.sleep(HEARTBEAT_SECONDS)


def _timeout(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds < math.inf:
        raise InvalidRequest(f"must be a positive number of seconds, got {seconds}", "timeout_seconds")
    return seconds


def _interval(field: str, seconds: float) -> float:
    if not 0 <= seconds < math.inf:
        raise InvalidRequest(f"must be a number of seconds, or 0 for none, got {seconds}", field)
    return seconds


def _preview_schedule(count: int, seconds: float) -> PreviewSchedule:
    if not 0 <= count <= MAX_PREVIEWS:
        raise InvalidRequest(f"must be from 0 to {MAX_PREVIEWS}, got {count}", "previews")
    if count and seconds:
        raise InvalidRequest("has no meaning beside previews, which says how many there are", "preview_seconds")
    return PreviewSchedule(count, _interval("preview_seconds", seconds))


def _loose(fields: dict[str, Any]) -> dict[str, Any]:
    """The sampling fields of a request, from the inputs that hold them."""
    parameters: dict[str, Any] = fields.pop("sampling_parameters", {})
    for name in ("prompt", "image"):
        if name in parameters:
            raise InvalidRequest("is an input of its own, and no sampling parameter", name)
    return parameters | fields


def _report(job: Job) -> Done:
    timings = {name: round(seconds, 6) for name, seconds in job.timings.items()}
    return Done(model=job.pipeline.card.id, spec=job.params, timings=JobTimings(**timings), warnings=job.warnings)
