"""What a create may be refused for, and whose turn is next among the jobs that wait.

Each job gets a turn when it is created. The k-th job of an owner that waits has the k-th turn from the one that is up,
so the owners take turns, whatever each of them has sent; a priority's turns all come before those of the next.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from frontend.errors import TooManyJobs
from protocol.errors import QueueFull

Priority = Literal["high", "normal", "low"]
_PRIORITIES: tuple[Priority, ...] = get_args(Priority)
TURNS = 2**29
"""of each priority; DBOS takes positive numbers below 2**31"""


@dataclass(frozen=True)
class Budget:
    """US dollars, by the providers' price lists; None is no limit."""

    per_request: float | None = None
    per_day: float | None = None
    """of all API keys together; a day begins at midnight UTC"""
    per_day_of_key: float | None = None


NO_BUDGET = Budget()


@dataclass(frozen=True)
class JobLimits:
    """Of one create; None is no limit."""

    max_waiting: int | None = None
    """jobs that wait, of all owners"""
    max_jobs: int | None = None
    """jobs of the owner that have not ended"""
    seconds_per_day: int | None = None
    """for which jobs of the owner may run"""
    priority: Priority = "normal"
    budget: Budget = NO_BUDGET
    """for jobs of hosted providers"""

    @property
    def counts(self) -> bool:
        """Whether something must be counted."""
        return self.max_waiting is not None or self.max_jobs is not None

    @property
    def are_of_owner(self) -> bool:
        """Whether something that its owner has is limited."""
        return self.max_jobs is not None or self.seconds_per_day is not None

    def check(self, waiting: int, of_owner: int, owner: str | None, *, begins: bool) -> None:
        """Where there are so many jobs already.

        Args:
            begins: whether the new one does not wait.

        Raises:
            TooManyJobs: the owner has as many as it may.
            QueueFull: as many wait as may.
        """
        if self.max_jobs is not None and of_owner >= self.max_jobs:
            raise TooManyJobs(
                f"The key {owner} has {of_owner} unfinished jobs, and may have {self.max_jobs}: wait for one to end, "
                f"or delete one; {waiting} jobs wait in the queue"
            )
        if self.max_waiting is not None and waiting >= self.max_waiting and not begins:
            raise QueueFull(f"The queue is full: {waiting} jobs wait, and {self.max_waiting} may. Try again later")


NO_LIMITS = JobLimits()


def turns_of(priority: Priority) -> range:
    """All turns of a priority, from 1."""
    first = _PRIORITIES.index(priority) * TURNS + 1
    return range(first, first + TURNS - 1)


def next_turn(turns: range, up: int | None, last: int | None) -> int:
    """The turn of a new job.

    Args:
        turns: of its priority.
        up: the first turn of them that a job waits for, if one does.
        last: the last turn that a job of the same owner waits for, if one does.
    """
    first = turns.start if up is None else up
    return min(first if last is None else max(first, last + 1), turns.stop - 1)
