"""`GET /v1/usage`."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from frontend.http.request_identity import viewer_of
from frontend.schemas.errors import ErrorBody
from frontend.schemas.usage import Usage, UsageRow
from frontend.services import ServicesDep

router = APIRouter(prefix="/v1/usage", tags=["operations"])

_EPOCH = date(1970, 1, 1)


@router.get(
    "",
    summary="What was spent on hosted providers",
    description="By day, API key, provider and model, the latest day first. A key sees what is its own.",
    responses={"default": {"model": ErrorBody, "description": "Any error."}},
)
async def get_usage(
    request: Request,
    services: ServicesDep,
    days: Annotated[int, Query(ge=1, le=366, description="The last so many days, today among them.")] = 30,
) -> Usage:
    first = datetime.now(UTC).date() - timedelta(days=days - 1)
    spent = await services.jobs.spent((first - _EPOCH).days, viewer_of(request))
    rows = [
        UsageRow(
            date=str(_EPOCH + timedelta(days=one.day)),
            key=one.owner,
            provider=one.provider,
            model=one.model,
            videos=one.videos,
            dollars=round(one.dollars, 4),
        )
        for one in spent
    ]
    return Usage(data=rows, total_dollars=round(sum(one.dollars for one in spent), 4))
