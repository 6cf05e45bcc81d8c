"""A server that speaks KlingAI's protocol for videos, without callbacks, masks, camera control and several shots."""

import hashlib
import hmac
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from frontend.providers.demo.film import film
from frontend.providers.demo.gate import Gate
from frontend.providers.demo.jobs import DemoJob, DemoJobs, State
from frontend.providers.demo.jobs import Request as Kind
from frontend.providers.demo.klingai_inputs import FIELDS, STATUSES, Order, Refused, order_of

URL_SECONDS = 3600.0
"""that the URL of a video is good for"""
_PREFIX = "/v1/videos/"
_STATUSES: dict[State, str] = {
    "waiting": "submitted",
    "running": "processing",
    "done": "succeed",
    "failed": "failed",
    "cancelled": "failed",
}


@dataclass(frozen=True)
class _Task:
    job: DemoJob
    route: str
    order: Order
    video_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def names(self) -> tuple[str, str | None]:
        return self.job.id, self.job.inputs.get("external_task_id")


def make_app(jobs: DemoJobs) -> FastAPI:
    """The server; its videos are behind its own address. `jobs.key` is ACCESS_KEY:SECRET_KEY."""
    app = FastAPI(title="KlingAI, for demonstration")
    router = APIRouter(prefix=_PREFIX.rstrip("/"))
    tasks: list[_Task] = []

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return _refusal(error.code, str(error))

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> JSONResponse:
        return _refusal(1202, f"no {request.method} {request.url.path}")

    @router.post("/{route}")
    async def create(route: str, request: Request) -> JSONResponse:
        _check_route(route)
        try:
            inputs = await request.json()
        except ValueError:
            raise Refused(1200, "request body is no JSON") from None
        order = order_of(route, inputs, _find_video)
        external = inputs.get("external_task_id")
        if external is not None and any(external in task.names for task in tasks):
            raise Refused(1201, f"external_task_id {external} is taken")
        task = _Task(jobs.take(order.model, inputs, order.seconds, order.size), route, order)
        tasks.append(task)
        return _success(_summary(task, "waiting"))

    @router.get("/{route}/{name}")
    async def query(route: str, name: str, request: Request) -> JSONResponse:
        _check_route(route)
        for task in tasks:
            if task.route == route and name in task.names:
                return _success(_details(task, jobs.poll(task.job), request))
        raise Refused(1203, f"task {name} not found")

    @router.get("/{route}")
    async def tell_all(route: str, request: Request) -> JSONResponse:
        _check_route(route)
        page, size = _count(request, "pageNum", 1, 1000), _count(request, "pageSize", 30, 500)
        newest = [task for task in reversed(tasks) if task.route == route][(page - 1) * size : page * size]
        return _success([_details(task, jobs.state(task.job), request) for task in newest])

    @app.get("/files/{video_id}.mp4")
    async def download(video_id: str, expires: str = "", signature: str = "") -> Response:
        task = next((task for task in tasks if task.video_id == video_id), None)
        if task is None or not hmac.compare_digest(signature, _signature(video_id, expires)):
            return Response("Forbidden", 403)
        if float(expires) < time.time():
            return Response("Request has expired", 403)
        content = jobs.content
        if content is None:
            content = film(task.job.inputs.get("prompt", ""), task.job.seconds, *task.job.size)
        return Response(content, media_type="video/mp4")

    def _find_video(video_id: str) -> Order | None:
        done = (task for task in tasks if task.video_id == video_id and jobs.state(task.job) == "done")
        return next((task.order for task in done), None)

    def _summary(task: _Task, state: State) -> dict[str, Any]:
        external = task.job.inputs.get("external_task_id")
        return {
            "task_id": task.job.id,
            "task_status": _STATUSES[state],
            "task_info": {} if external is None else {"external_task_id": external},
            "created_at": int(1000 * task.job.created_at),
            "updated_at": int(1000 * time.time()),
        }

    def _details(task: _Task, state: State, request: Request) -> dict[str, Any]:
        told = _summary(task, state)
        told |= {
            "task_status_msg": jobs.failure if state == "failed" else "",
            "task_result": {},
            "watermark_info": {"enabled": False, **task.job.inputs.get("watermark_info", {})},
        }
        parent = next((other for other in tasks if other.order is task.order.parent), None)
        if parent is not None:
            told["task_info"]["parent_video"] = _video(parent, request)
        if state == "done":
            told["task_result"] = {"videos": [{**_video(task, request), "watermark_url": ""}]}
            told["final_unit_deduction"] = f"{task.order.units:f}"
        return told

    def _video(task: _Task, request: Request) -> dict[str, str]:
        expires = str(time.time() + URL_SECONDS)
        query = f"expires={expires}&signature={_signature(task.video_id, expires)}"
        url = f"{request.base_url}files/{task.video_id}.mp4?{query}"
        return {"id": task.video_id, "url": url, "duration": str(task.order.seconds)}

    def _signature(video_id: str, expires: str) -> str:
        return hmac.new(jobs.key.encode(), f"{video_id} {expires}".encode(), hashlib.sha256).hexdigest()

    def refusal(request: Request) -> Response | None:
        if request.url.path.startswith("/files/"):
            return None
        return _refusal_of_token(request.headers.get("authorization"), jobs.key)

    app.include_router(router)
    app.add_middleware(Gate, jobs=jobs, kind=_kind, refusal=refusal)
    return app


def _refusal_of_token(authorization: str | None, key: str) -> Response | None:
    """What is wrong with the JWT of a request."""
    if not authorization:
        return _refusal(1001, "Authorization is empty")
    access_key, _, secret_key = key.partition(":")
    scheme, _, token = authorization.partition(" ")
    if scheme != "Bearer":
        return _refusal(1002, "Authorization is invalid")
    try:
        jwt.decode(token, secret_key, ["HS256"], {"require": ["iss", "exp", "nbf"]}, issuer=access_key)
    except jwt.ExpiredSignatureError:
        return _refusal(1004, "Authorization has expired")
    except jwt.ImmatureSignatureError:
        return _refusal(1003, "Authorization is not yet valid")
    except (jwt.InvalidSignatureError, jwt.InvalidIssuerError):
        return _refusal(1000, "Authentication failed")
    except jwt.InvalidTokenError:
        return _refusal(1002, "Authorization is invalid")
    return None


def _kind(method: str, path: str) -> Kind | None:
    if path.startswith("/files/"):
        return "download"
    if not path.startswith(_PREFIX):
        return None
    if method == "POST":
        return "submit"
    return "poll" if "/" in path.removeprefix(_PREFIX) else None


def _check_route(route: str) -> None:
    if route not in FIELDS:
        raise Refused(1202, f"no {_PREFIX}{route}")


def _count(request: Request, name: str, default: int, largest: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= largest):
        raise Refused(1201, f"{name} value '{text}' is invalid, must be from 1 to {largest}")
    return int(text)


def _success(data: Any) -> JSONResponse:
    return JSONResponse({"code": 0, "message": "SUCCEED", "request_id": uuid.uuid4().hex, "data": data})


def _refusal(code: int, message: str) -> JSONResponse:
    return JSONResponse({"code": code, "message": message, "request_id": uuid.uuid4().hex}, STATUSES[code])
