"""A server that speaks the protocols of Veo: the Gemini API's, and Vertex AI's with a project or a key alone."""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from frontend.providers.demo.film import film
from frontend.providers.demo.gate import Gate
from frontend.providers.demo.jobs import DemoJob, DemoJobs
from frontend.providers.demo.jobs import Request as Kind
from frontend.providers.gemini_veo import VEO_3_1, VEO_3_1_FAST, VERTEX_VEO_3_1, VERTEX_VEO_3_1_FAST
from frontend.providers.hosted_model import HostedModel
from frontend.providers.request import size_of

_GEMINI = {model.paths["text-to-video"]: model for model in (VEO_3_1, VEO_3_1_FAST)}
_VERTEX = {model.paths["text-to-video"]: model for model in (VERTEX_VEO_3_1, VERTEX_VEO_3_1_FAST)}
_EXPRESS_PROJECT = "projects/express/locations/us-central1"
"""that Vertex AI keeps for a key"""
_PARAMETERS = {
    "sampleCount",
    "durationSeconds",
    "aspectRatio",
    "resolution",
    "personGeneration",
    "negativePrompt",
    "enhancePrompt",
}
_VERTEX_PARAMETERS = _PARAMETERS | {
    "fps",
    "seed",
    "generateAudio",
    "storageUri",
    "resizeMode",
    "compressionQuality",
    "pubsubTopic",
}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
}
_INTERNAL = 13
"""gRPC's code"""
_ADDED_SECONDS = 7
"""by an extension"""


class _Wrong(Exception):
    """The request is not taken."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def make_app(jobs: DemoJobs) -> FastAPI:
    """The server. Keys and access tokens are the same."""
    app = FastAPI(title="Veo, for demonstration")

    @app.exception_handler(_Wrong)
    async def wrong(request: Request, error: _Wrong) -> JSONResponse:
        return _error(error.status, str(error))

    @app.post("/v1beta/models/{model}:predictLongRunning")
    async def submit(model: str, request: Request) -> dict[str, Any]:
        job = _take(_GEMINI, _PARAMETERS, model, await request.json())
        return {"name": f"models/{model}/operations/{job.id}"}

    @app.get("/v1beta/models/{model}/operations/{job_id}")
    async def poll(model: str, job_id: str) -> dict[str, Any]:
        job = _find(job_id)

        def response() -> dict[str, Any]:
            # Always so, wherever this server is: of other URIs the SDK makes no file.
            uri = f"https://generativelanguage.googleapis.com/v1beta/files/{job.id}:download?alt=media"
            samples = {"generatedSamples": [{"video": {"uri": uri, "encoding": "video/mp4"}}]}
            told = {"@type": "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse"}
            return told | {"generateVideoResponse": _filtered() or samples}

        return _operation(f"models/{model}/operations/{job.id}", job, response)

    @app.get("/v1beta/files/{job_id}:download")
    async def download(job_id: str) -> Response:
        job = _find(job_id)
        if job.polls <= jobs.polls:
            raise _Wrong(f"File {job_id} is not found.", 404)
        return Response(_content(job), media_type="video/mp4")

    @app.post("/v1beta1/publishers/google/models/{model}:predictLongRunning")
    async def submit_with_key(model: str, request: Request) -> dict[str, Any]:
        return _taken_by_vertex(_EXPRESS_PROJECT, model, await request.json())

    @app.post("/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:predictLongRunning")
    async def submit_to_project(project: str, location: str, model: str, request: Request) -> dict[str, Any]:
        return _taken_by_vertex(f"projects/{project}/locations/{location}", model, await request.json())

    @app.post("/v1beta1/{resource:path}:fetchPredictOperation")
    async def fetch_predict_operation(resource: str, request: Request) -> dict[str, Any]:
        name = (await request.json()).get("operationName", "")
        if not name.startswith(f"{resource}/operations/"):
            raise _Wrong(f"Operation name {name} is not of {resource}")
        job = _find(name.rpartition("/")[2])

        def response() -> dict[str, Any]:
            told = {"@type": "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"}
            if filtered := _filtered():
                return told | filtered
            if bucket := job.inputs["parameters"].get("storageUri"):
                video = {"gcsUri": f"{bucket}/{job.id}/sample_0.mp4"}
            else:
                video = {"bytesBase64Encoded": base64.b64encode(_content(job)).decode()}
            return told | {"raiMediaFilteredCount": 0, "videos": [video | {"mimeType": "video/mp4"}]}

        return _operation(name, job, response)

    def _taken_by_vertex(place: str, model: str, inputs: dict[str, Any]) -> dict[str, Any]:
        job = _take(_VERTEX, _VERTEX_PARAMETERS, model, inputs)
        return {"name": f"{place}/publishers/google/models/{model}/operations/{job.id}"}

    def _take(models: Mapping[str, HostedModel], known: set[str], name: str, inputs: dict[str, Any]) -> DemoJob:
        if name not in models:
            raise _Wrong(f"models/{name} is not found, or is not supported for predictLongRunning.", 404)
        (instance,), parameters = inputs["instances"], inputs["parameters"]
        _check(instance, parameters, known)
        seconds = parameters.get("durationSeconds", 8)
        if "video" in instance:
            seconds = _source_seconds(instance["video"]) + _ADDED_SECONDS
        size = size_of(parameters.get("resolution", "720p"), parameters.get("aspectRatio", "16:9"))
        return jobs.take(name, instance | {"parameters": parameters}, seconds, size)

    def _source_seconds(video: dict[str, Any]) -> int:
        if "gcsUri" in video:
            return 8
        file = re.search(r"files/([a-z0-9]+)", video.get("uri", ""))
        source = jobs.find(file[1]) if file else None
        if source is None:
            raise _Wrong("The video must be one that Veo has made.")
        return source.seconds

    def _find(job_id: str) -> DemoJob:
        job = jobs.find(job_id)
        if job is None:
            raise _Wrong("Requested entity was not found.", 404)
        return job

    def _content(job: DemoJob) -> bytes:
        return film(job.inputs["prompt"], job.seconds, *job.size) if jobs.content is None else jobs.content

    def _filtered() -> dict[str, Any] | None:
        if jobs.filtered is None:
            return None
        return {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": [jobs.filtered]}

    def _operation(name: str, job: DemoJob, response: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        match jobs.poll(job):
            case "done":
                return {"name": name, "done": True, "response": response()}
            case "failed":
                return {"name": name, "done": True, "error": {"code": _INTERNAL, "message": jobs.failure}}
        return {"name": name, "metadata": {"@type": "type.googleapis.com/google.protobuf.Empty"}}

    def refusal(request: Request) -> Response | None:
        key, token = request.headers.get("x-goog-api-key"), request.headers.get("authorization")
        if key == jobs.key or token == f"Bearer {jobs.key}":
            return None
        if key is not None:
            reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            return _error(400, "API key not valid. Please pass a valid API key.", reason)
        if token is not None:
            return _error(401, "Request had invalid authentication credentials.")
        return _error(403, "Method doesn't allow unregistered callers. Please use API Key.")

    app.add_middleware(Gate, jobs=jobs, kind=_kind, refusal=refusal)
    return app


def _kind(method: str, path: str) -> Kind | None:
    if path.endswith(":predictLongRunning"):
        return "submit"
    return "download" if path.endswith(":download") else "poll"


def _error(status: int, message: str, *details: dict[str, Any]) -> JSONResponse:
    error = {"code": status, "message": message, "status": _STATUSES[status], "details": list(details)}
    return JSONResponse({"error": error}, status)


def _check(instance: dict[str, Any], parameters: dict[str, Any], known: set[str]) -> None:
    """Raises _Wrong as the service does: it refuses what it does not offer."""
    if unknown := sorted(set(parameters) - known):
        raise _Wrong(f"`{unknown[0]}` isn't supported by this model. Please remove it.")
    if not instance.get("prompt"):
        raise _Wrong("The prompt must not be empty.")
    extends, resolution = "video" in instance, parameters.get("resolution", "720p")
    if parameters.get("sampleCount", 1) != 1:
        raise _Wrong("`sampleCount` must be 1.")
    if parameters.get("aspectRatio", "16:9") not in ("16:9", "9:16"):
        raise _Wrong("`aspectRatio` must be 16:9 or 9:16.")
    if resolution not in (("720p",) if extends else ("720p", "1080p")):
        raise _Wrong(f"`resolution` {resolution} isn't supported.")
    duration = parameters.get("durationSeconds", 8)
    if duration not in (4, 6, 8) or (duration != 8 and (extends or resolution != "720p")):
        raise _Wrong(f"`durationSeconds` {duration} isn't supported.")
    image = instance.get("image")
    if image is not None and not (image.get("gcsUri") or (image.get("bytesBase64Encoded") and image.get("mimeType"))):
        raise _Wrong("`image` must have bytesBase64Encoded and mimeType.")
