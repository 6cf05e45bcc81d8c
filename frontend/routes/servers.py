"""`/v1/servers`: the Triton servers, for operators."""

from typing import Any

from fastapi import APIRouter, Depends, Request

from frontend.errors import NotPermitted
from frontend.http.request_identity import viewer_of
from frontend.schemas.errors import ErrorBody
from frontend.schemas.servers import Server, ServerList
from frontend.services import ServicesDep


def _administrators_only(request: Request) -> None:
    if viewer_of(request) is not None:
        raise NotPermitted("An administrator's API key is asked for here; `tritonreel keys add --admin NAME` makes one")


router = APIRouter(prefix="/v1/servers", tags=["operations"], dependencies=[Depends(_administrators_only)])
_ERRORS: dict[int | str, dict[str, Any]] = {
    403: {"model": ErrorBody, "description": "The API key is not an administrator's, or the origin is not allowed."},
    "default": {"model": ErrorBody, "description": "Any other error."},
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "No such server; the message names those that there are."},
    503: {"model": ErrorBody, "description": "The database of jobs, where it is kept, is away; see Retry-After."},
}


@router.get(
    "",
    summary="List the Triton servers",
    description="For an administrator's key, where keys are asked for. Jobs are those of the frontend that answers.",
    responses=_ERRORS,
)
async def list_servers(services: ServicesDep) -> ServerList:
    return ServerList(data=[Server.of(endpoint) for endpoint in services.pool.endpoints])


@router.post(
    "/{name:path}/drain",
    summary="Send a Triton server no new jobs",
    description="Those that it has are finished; it can be stopped when `running` is 0 on every frontend. It holds for "
    "all frontends that share the database of jobs, within seconds, until `resume`. For an administrator's key, where "
    "keys are asked for.",
    responses=_NOT_FOUND | _ERRORS,
)
async def drain(name: str, services: ServicesDep) -> Server:
    return Server.of(await services.drains.drain(name))


@router.post(
    "/{name:path}/resume",
    summary="Send a drained Triton server jobs again",
    description="For an administrator's key, where keys are asked for.",
    responses=_NOT_FOUND | _ERRORS,
)
async def resume(name: str, services: ServicesDep) -> Server:
    return Server.of(await services.drains.resume(name))
