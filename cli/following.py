"""What happens to a job, from its queue to its end, also where connections do not last as long."""

import time
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from cli.job import ENDS, JobError
from cli.server import ClientError, ConnectionLost, Refused, Server, Unreachable

_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""seconds before each new try to reach a server that was lost: it may be starting again"""


class Event(BaseModel):
    """What is told of a job, or a preview of it (`b64_json`); None for what is not said."""

    model_config = ConfigDict(extra="ignore")

    type: str
    progress: int = 0
    queue_position: int | None = None
    index: int | None = None
    step: int | None = None
    steps: int | None = None
    frames_done: int | None = None
    frames: int | None = None
    seconds_left: float | None = None
    error: JobError | None = None
    width: int = 0
    height: int = 0
    b64_json: str | None = None

    @property
    def status(self) -> str:
        return self.type.rpartition(".")[2]


def follow(server: Server, job_id: str, *, previews: bool = False) -> Iterator[Event]:
    """Every event of a job to its end.

    Raises:
        Refused: there is no such job.
        ConnectionLost: the server was lost, and did not come back.
    """
    heard, failures = None, 0
    while True:
        try:
            for event_id, data in server.events(job_id, heard, previews=previews):
                heard, failures = event_id or heard, 0
                event = _event(data)
                yield event
                if event.status in ENDS:
                    return
            if server.job(job_id).has_ended:
                return
        except Refused as error:
            if error.status < 500:
                raise
        except (ConnectionLost, Unreachable):
            pass
        if failures == len(_PAUSES):
            raise ConnectionLost(f"the connection to {server.url} was lost", code="connection_lost")
        time.sleep(_PAUSES[failures])
        failures += 1


def _event(data: dict[str, Any]) -> Event:
    try:
        return Event.model_validate(data)
    except ValueError:
        raise ClientError("the server tells what this release does not understand", code="invalid_answer") from None
