"""Tells apart who makes what a job asks for."""

from dataclasses import dataclass

from frontend.jobs.record import RunRecord
from frontend.jobs.run import Runner
from frontend.jobs.runner import Tell
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Output


@dataclass(frozen=True)
class RoutedRunner:
    """Runs jobs of hosted providers on `hosted`, all others on `local`."""

    local: Runner
    hosted: Runner

    async def run(self, spec: JobSpec, tell: Tell, record: RunRecord) -> list[tuple[bytes, Output]]:
        """See `JobRunner.run`."""
        return await (self.hosted if spec.is_hosted else self.local).run(spec, tell, record)
