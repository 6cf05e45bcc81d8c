"""URLs of the files of jobs, as responses have them."""

import time
from math import ceil

from fastapi import Request

from frontend.http.authority import Origin
from frontend.http.hosts import host_of
from frontend.http.signed_urls import signed_path
from frontend.jobs.state import Job
from frontend.services import Services

URL_KEY = "urls"
"""name of the secret that they are signed with"""
_QUANTA = 4
"""of its time, for which a URL stays the same, so that browsers keep what they have fetched from it"""


class Links:
    """Makes URLs that need no API key.

    Args:
        base: scheme, host and port, as the client reaches the server.
        key: what URLs are signed with.
        seconds: for which a URL works, and up to a quarter longer.
    """

    def __init__(self, base: str, key: bytes, seconds: int) -> None:
        self._base = base
        self._key = key
        self._seconds = seconds

    def of(self, job: Job, variant: str | None = None) -> list[str]:
        """One for each video or image of a completed job, or for that `variant` of it."""
        parts = range(len(job.spec.samples))
        path = f"/v1/{job.spec.product.kind}s/{job.spec.id}/content"
        wanted = [] if variant is None else [("variant", variant)]
        queries = [[*wanted, *([("index", str(part))] if len(parts) > 1 else [])] for part in parts]
        return [self._base + signed_path(path, query, self._expiry(job), self._key) for query in queries]

    def _expiry(self, job: Job) -> int:
        """Unix time: the first of some that follow each other from the job's end, and that is late enough."""
        quantum = max(1, self._seconds // _QUANTA)
        made = int(job.state.finished_at or 0)
        least = int(time.time()) + 1 + self._seconds - made
        return made + ceil(least / quantum) * quantum


async def links_for(request: Request, services: Services) -> Links:
    """For the answer to `request`. Raises JobsUnavailable: what they are signed with cannot be read."""
    settings = services.settings
    # The middleware has checked the host; nothing else that a client may send decides where a URL leads.
    base = settings.public_url or str(Origin.of(request.scope["scheme"], host_of(request.scope)))
    return Links(base, await services.jobs.secret(URL_KEY), settings.url_seconds)
