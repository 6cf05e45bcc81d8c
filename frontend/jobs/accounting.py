"""What the metrics say of a job that has ended."""

from frontend.jobs.state import FinishedJob, Job
from frontend.jobs.waiters import Outcome
from frontend.metrics import Metrics
from protocol.errors import Cancelled


def account(metrics: Metrics, job: Job, outcome: Outcome, waited_seconds: float, storing_seconds: float) -> None:
    """Count a job; of one that is completed, how long each phase took.

    Args:
        waited_seconds: from its creation until its last run began.
        storing_seconds: that it took to keep what it made.
    """
    match outcome:
        case FinishedJob():
            metrics.job_ended(job.owner, "completed")
            _observe_phases(metrics, outcome.job, waited_seconds)
            metrics.phase("storage", storing_seconds)
        case Cancelled():
            metrics.job_ended(job.owner, "cancelled")
        case _:
            metrics.job_ended(job.owner, "failed")


def _observe_phases(metrics: Metrics, job: Job, waited_seconds: float) -> None:
    for output in job.outputs:
        timings = output.report.timings
        metrics.phase("queue", max(waited_seconds, 0.0) + timings.queue_seconds)
        metrics.phase("text", timings.text_seconds)
        if timings.image_seconds:
            metrics.phase("image", timings.image_seconds)
        metrics.phase("denoise", timings.denoise_seconds)
        metrics.phase("decode", timings.decode_seconds)
        metrics.phase("encode", output.encode_seconds)
    metrics.phase("total", max((job.state.finished_at or 0.0) - job.spec.created_at, 0.0))
