"""What an API key may do, as it is kept with the key."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from frontend.jobs.limits import Priority

Limit = Annotated[int, Field(ge=1, le=100_000)]


class KeyLimits(BaseModel):
    """None is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_jobs: Limit | None = None
    """jobs that have not ended, on all frontends that share them"""
    requests_per_minute: Limit | None = None
    """that create a job, of each frontend"""
    seconds_per_day: Limit | None = None
    """for which its jobs may run, added up over all frontends; a day begins at midnight UTC"""
    dollars_per_day: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] | None = None
    """that its videos of hosted providers may cost; likewise"""
    priority: Priority = "normal"
    """of its jobs among those that wait"""

    def changed(self, changes: dict[str, Any]) -> "KeyLimits":
        """With these in place of its own."""
        return KeyLimits.model_validate(self.model_dump() | changes)

    def __str__(self) -> str:
        """For a person; empty where nothing is limited."""
        parts = [
            f"at most {self.max_jobs} jobs" if self.max_jobs else "",
            f"{self.requests_per_minute} creates per minute" if self.requests_per_minute else "",
            f"{self.seconds_per_day} seconds of jobs per day" if self.seconds_per_day else "",
            f"${self.dollars_per_day:g} per day" if self.dollars_per_day else "",
            f"{self.priority} priority" if self.priority != "normal" else "",
        ]
        return ", ".join(filter(None, parts))


NO_LIMITS = KeyLimits()
