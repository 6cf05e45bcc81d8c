"""A server that speaks OpenAI's Videos API."""

import time
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import UploadFile

from frontend.media.image_file import read_header
from frontend.media.image_header import ImageError
from frontend.providers.demo.film import film
from frontend.providers.demo.gate import Gate
from frontend.providers.demo.jobs import DemoJob, DemoJobs, State
from frontend.providers.demo.jobs import Request as Kind
from frontend.providers.openai_sora import SORA_2, SORA_2_PRO

_STATUSES: dict[State, str] = {
    "waiting": "queued",
    "running": "in_progress",
    "done": "completed",
    "failed": "failed",
}
_FIELDS = {"prompt", "model", "seconds", "size", "input_reference"}
_SECONDS = ("4", "8", "12")
_SIZES = {
    SORA_2.id: ("720x1280", "1280x720"),
    SORA_2_PRO.id: ("720x1280", "1280x720", "1024x1792", "1792x1024"),
}
_KEPT_SECONDS = 3600


class _Wrong(Exception):
    """The request is not taken."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def make_app(jobs: DemoJobs) -> FastAPI:
    """The server; its API is at /v1."""
    app = FastAPI(title="OpenAI's Videos API, for demonstration")
    router = APIRouter(prefix="/v1/videos")

    @app.exception_handler(_Wrong)
    async def wrong(request: Request, error: _Wrong) -> JSONResponse:
        return JSONResponse(error.body, error.status)

    @router.post("")
    async def create(request: Request) -> dict[str, Any]:
        inputs = await _inputs(request)
        model, seconds, size = _check(inputs)
        width, height = (int(side) for side in size.split("x"))
        return _video(jobs.take(model, inputs, int(seconds), (width, height)), "waiting")

    @router.get("/{job_id}")
    async def retrieve(job_id: str) -> dict[str, Any]:
        job = _find(job_id)
        return _video(job, jobs.poll(job))

    @router.delete("/{job_id}")
    async def delete(job_id: str) -> dict[str, Any]:
        _find(job_id).cancelled = True
        return {"id": job_id, "object": "video.deleted", "deleted": True}

    @router.get("/{job_id}/content")
    async def content(job_id: str) -> Response:
        job = _find(job_id)
        if job.polls <= jobs.polls or jobs.failure is not None:
            raise _Wrong("Video is not ready yet.", code="video_not_ready", status=404)
        made = film(str(job.inputs["prompt"]), job.seconds, *job.size) if jobs.content is None else jobs.content
        return Response(made, media_type="video/mp4")

    def _find(job_id: str) -> DemoJob:
        job = jobs.find(job_id)
        if job is None or job.cancelled:
            raise _Wrong(f"Video with id '{job_id}' not found.", code="not_found", status=404)
        return job

    def _video(job: DemoJob, state: State) -> dict[str, Any]:
        ended = state in ("done", "failed")
        progress = {"waiting": 0, "done": 100}.get(state, 100 * job.polls // (jobs.polls + 1))
        return {
            "id": job.id,
            "object": "video",
            "status": _STATUSES[state],
            "progress": progress,
            "model": job.model,
            "prompt": job.inputs["prompt"],
            "seconds": str(job.seconds),
            "size": "{}x{}".format(*job.size),
            "created_at": int(job.created_at),
            "completed_at": int(time.time()) if ended else None,
            "expires_at": int(time.time()) + _KEPT_SECONDS if ended else None,
            "remixed_from_video_id": None,
            "error": _failure(jobs.failure) if state == "failed" else None,
        }

    def refusal(request: Request) -> Response | None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key == jobs.key:
            return None
        message = f"Incorrect API key provided: {key[:8]}{'*' * 8}{key[-4:]}."
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
        return JSONResponse({"error": error}, 401)

    app.include_router(router)
    app.add_middleware(Gate, jobs=jobs, kind=_kind, refusal=refusal)
    return app


def _kind(method: str, path: str) -> Kind | None:
    if path.endswith("/content"):
        return "download"
    if method == "POST":
        return "submit"
    return "cancel" if method == "DELETE" else "poll"


def _failure(message: str | None) -> dict[str, Any]:
    blocked = "moderation" in (message or "")
    return {"code": "moderation_blocked" if blocked else "video_generation_failed", "message": message}


async def _inputs(request: Request) -> dict[str, Any]:
    """Of either form of body; the file of a reference as its bytes."""
    if request.headers.get("content-type", "").startswith("application/json"):
        return dict(await request.json())
    async with request.form() as form:
        return {name: await value.read() if isinstance(value, UploadFile) else value for name, value in form.items()}


def _check(inputs: dict[str, Any]) -> tuple[str, str, str]:
    """Model, seconds and size. Raises _Wrong."""
    if unknown := sorted(set(inputs) - _FIELDS):
        raise _Wrong(f"Unknown parameter: '{unknown[0]}'.", unknown[0], "unknown_parameter")
    if not inputs.get("prompt"):
        raise _Wrong("Missing required parameter: 'prompt'.", "prompt", "missing_required_parameter")
    model = inputs.get("model", SORA_2.id)
    if model not in _SIZES:
        raise _Wrong(f"The model '{model}' does not exist", "model", "model_not_found", 404)
    seconds, size = inputs.get("seconds", _SECONDS[0]), inputs.get("size", _SIZES[model][0])
    for name, value, offered in (("seconds", seconds, _SECONDS), ("size", size, _SIZES[model])):
        if value not in offered:
            raise _Wrong(
                f"Invalid value: '{value}'. Supported values are: {', '.join(offered)}.", name, "invalid_value"
            )
    if "input_reference" in inputs:
        _check_reference(inputs["input_reference"], size)
    return model, seconds, size


def _check_reference(file: Any, size: str) -> None:
    try:
        header = read_header(file)
    except (ImageError, AttributeError, TypeError):
        raise _Wrong("Invalid image file.", "input_reference", "invalid_image") from None
    if f"{header.width}x{header.height}" != size:
        raise _Wrong("Inpaint image must match the requested width and height", "input_reference", "invalid_value")
