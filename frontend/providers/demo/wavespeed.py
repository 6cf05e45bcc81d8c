"""A server that speaks WaveSpeed's protocol, version 3."""

import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from frontend.providers.demo.film import film
from frontend.providers.demo.gate import Gate
from frontend.providers.demo.jobs import DemoJob, DemoJobs, State
from frontend.providers.demo.jobs import Request as Kind
from frontend.providers.hosted_model import HostedModel
from frontend.providers.request import size_of
from frontend.providers.wavespeed import HUNYUAN, LTX_2_FAST, LTX_2_PRO, LTX_2_RETAKE

_STATUSES: dict[State, str] = {
    "waiting": "created",
    "running": "processing",
    "done": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
_FIELDS = {
    HUNYUAN.id: {"prompt", "negative_prompt", "size", "duration", "seed", "image"},
    LTX_2_PRO.id: {"prompt", "duration", "generate_audio", "image"},
    LTX_2_FAST.id: {"prompt", "duration", "generate_audio", "image"},
    LTX_2_RETAKE.id: {"prompt", "video", "mode"},
}
_MODELS = {path: model for model in (HUNYUAN, LTX_2_PRO, LTX_2_FAST, LTX_2_RETAKE) for path in model.paths.values()}


class _Wrong(Exception):
    """The request is not taken."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def make_app(jobs: DemoJobs) -> FastAPI:
    """The server; its videos are behind its own address."""
    app = FastAPI(title="WaveSpeed, for demonstration")
    router = APIRouter(prefix="/api/v3")

    @app.exception_handler(_Wrong)
    async def wrong(request: Request, error: _Wrong) -> JSONResponse:
        return JSONResponse({"code": error.status, "message": str(error)}, error.status)

    @router.get("/predictions/{job_id}/result")
    @router.get("/predictions/{job_id}")
    async def poll(job_id: str, request: Request) -> dict[str, Any]:
        job = _find(job_id)
        return _envelope(_prediction(job, jobs.poll(job), request))

    @router.delete("/predictions/{job_id}")
    async def delete(job_id: str) -> dict[str, Any]:
        _find(job_id).cancelled = True
        return _envelope({"id": job_id, "status": "deleted"})

    @router.post("/{path:path}")
    async def submit(path: str, request: Request) -> dict[str, Any]:
        model = _MODELS.get(path)
        if model is None:
            raise _Wrong(404, f"model {path} not found")
        job = jobs.take(path, inputs := await request.json(), _check(model, path, inputs), _size(inputs))
        return _envelope(_prediction(job, "waiting", request))

    @app.get("/files/{job_id}.mp4")
    async def download(job_id: str) -> Response:
        job = _find(job_id)
        content = jobs.content
        if content is None:
            content = film(str(job.inputs["prompt"]), job.seconds, *job.size)
        return Response(content, media_type="video/mp4")

    def _find(job_id: str) -> DemoJob:
        job = jobs.find(job_id)
        if job is None:
            raise _Wrong(404, "prediction not found")
        return job

    def _prediction(job: DemoJob, state: State, request: Request) -> dict[str, Any]:
        base = str(request.base_url)
        return {
            "id": job.id,
            "model": job.model,
            "status": _STATUSES[state],
            "outputs": [f"{base}files/{job.id}.mp4"] if state == "done" else [],
            "urls": {"get": f"{base}api/v3/predictions/{job.id}/result"},
            "has_nsfw_contents": [False] if state == "done" else [],
            "created_at": datetime.fromtimestamp(job.created_at, UTC).isoformat(timespec="milliseconds"),
            "error": jobs.failure if state == "failed" else "",
            "timings": {"inference": int(1000 * (time.time() - job.created_at))},
        }

    def refusal(request: Request) -> Response | None:
        is_public = request.url.path.startswith("/files/")
        if is_public or request.headers.get("authorization") == f"Bearer {jobs.key}":
            return None
        return JSONResponse({"code": 401, "message": "Invalid API key"}, 401)

    app.include_router(router)
    app.add_middleware(Gate, jobs=jobs, kind=_kind, refusal=refusal)
    return app


def _kind(method: str, path: str) -> Kind | None:
    if path.startswith("/files/"):
        return "download"
    if path.startswith("/api/v3/predictions/"):
        return "cancel" if method == "DELETE" else "poll"
    return "submit" if method == "POST" else None


def _envelope(data: dict[str, Any]) -> dict[str, Any]:
    return {"code": 200, "message": "success", "data": data}


def _check(model: HostedModel, path: str, inputs: dict[str, Any]) -> int:
    """The seconds of the video. Raises _Wrong as the service does: it refuses what it does not offer."""
    if not isinstance(inputs.get("prompt"), str) or not inputs["prompt"]:
        raise _Wrong(400, "prompt is required")
    if unknown := set(inputs) - _FIELDS[model.id]:
        raise _Wrong(400, f"unknown property: {', '.join(sorted(unknown))}")
    for name, paths in (("image", "image-to-video"), ("video", "video-to-video")):
        if model.paths.get(paths) == path and not inputs.get(name):  # type: ignore[call-overload]
            raise _Wrong(400, f"{name} is required")
    duration = inputs.get("duration", model.durations[0])
    if duration not in model.durations:
        raise _Wrong(400, f"duration must be one of {list(model.durations)}")
    if "size" in inputs and inputs["size"] not in ("832*480", "480*832", "1280*720", "720*1280"):
        raise _Wrong(400, "size must be one of [832*480, 480*832, 1280*720, 720*1280]")
    return int(duration)


def _size(inputs: dict[str, Any]) -> tuple[int, int]:
    if "size" not in inputs:
        return size_of("1080p", "16:9")
    width, height = str(inputs["size"]).split("*")
    return int(width), int(height)
