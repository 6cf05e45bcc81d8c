"""What a run of a job keeps for the run after it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy.exc import SQLAlchemyError

from frontend.jobs.checkpoints import Checkpoints, Standing
from frontend.jobs.state import Job


class RunRecord:
    """Of one run of a job: checkpoints, which are a help, and submissions, which cost money and must not be lost.

    Args:
        standing: asks how the run stands; it may raise SQLAlchemyError.
        write: keeps the submissions of a run, by part; they are safe on its return. Raises JobLost.
    """

    def __init__(
        self,
        job: Job,
        checkpoints: Checkpoints,
        standing: Callable[[Job], Awaitable[Standing]],
        write: Callable[[Job, Mapping[int, str]], Awaitable[None]],
    ) -> None:
        self.checkpoints = checkpoints
        self.is_given_up = False
        """whether the run ends before its job: because another one goes on later, or because the job was ended
        elsewhere"""
        self._job = job
        self._standing = standing
        self._write = write
        self._submissions = dict(job.submissions)
        self._writing = asyncio.Lock()

    def submission(self, part: int) -> str | None:
        """See `Job.submissions`; of an earlier run, too. None where there is none."""
        return self._submissions.get(part)

    async def submit(self, part: int, submission: str) -> None:
        """Keep a submission. It is safe on return. Raises JobLost: another run has begun, or the job is over."""
        await self._keep(part, submission)

    async def withdraw(self, part: int) -> None:
        """The submission was refused for certain, and costs nothing. Raises JobLost."""
        await self._keep(part, None)

    async def is_over(self) -> bool:
        """Whether the job has been ended while it ran, here or elsewhere; False where that cannot be found out."""
        if not self.is_given_up:
            return True
        try:
            return await self._standing(self._job) == "ended"
        except SQLAlchemyError:
            return False

    async def _keep(self, part: int, submission: str | None) -> None:
        async with self._writing:  # each write has those of all parts
            wanted = {**self._submissions, part: submission}
            submissions = {part: text for part, text in wanted.items() if text is not None}
            await self._write(self._job, submissions)
            self._submissions = submissions
