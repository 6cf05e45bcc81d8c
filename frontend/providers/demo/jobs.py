"""The jobs of a demonstration server, and what tests have it do wrong."""

import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.responses import Response

Request = Literal["submit", "poll", "download", "cancel"]
State = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass
class DemoJob:
    """A job that was taken."""

    inputs: dict[str, Any]
    model: str
    seconds: int
    size: tuple[int, int]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created_at: float = field(default_factory=time.time)
    polls: int = 0
    cancelled: bool = False


class DemoJobs:
    """What a server has been asked, and how it answers.

    Public attributes are for tests, which set them from other threads.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        """what clients must have"""
        self.polls = 2
        """until a job is done"""
        self.failure: str | None = None
        """what jobs end with"""
        self.filtered: str | None = None
        """why jobs end without their video, at providers that filter it"""
        self.content: bytes | None = None
        """sent in place of a video"""
        self.answers: dict[Request, deque[Response]] = {}
        """in place of the next answers to requests of a kind"""
        self.asked: Counter[Request] = Counter()
        """requests of each kind, whatever came of them"""
        self.taken: list[DemoJob] = []

    def next_answer(self, request: Request) -> Response | None:
        """What is to be answered in place of the truth."""
        self.asked[request] += 1
        answers = self.answers.get(request)
        return answers.popleft() if answers else None

    def take(self, model: str, inputs: dict[str, Any], seconds: int, size: tuple[int, int]) -> DemoJob:
        job = DemoJob(inputs, model, seconds, size)
        self.taken.append(job)
        return job

    def find(self, job_id: str) -> DemoJob | None:
        return next((job for job in self.taken if job.id == job_id), None)

    def poll(self, job: DemoJob) -> State:
        """How a job is, which gets further each time that it is asked."""
        job.polls += 1
        return self.state(job)

    def state(self, job: DemoJob) -> State:
        """How a job is."""
        if job.cancelled:
            return "cancelled"
        if job.polls <= self.polls:
            return "waiting" if job.polls <= 1 else "running"
        return "failed" if self.failure is not None else "done"
