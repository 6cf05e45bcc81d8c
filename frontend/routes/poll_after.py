"""The header that says when to ask again for a job that is being made; OpenAI's SDKs do as they are told."""

from fastapi import Response

from frontend.jobs.state import Job

POLL_AFTER = "openai-poll-after-ms"
_POLL_AFTER_MS = 500


def say_when_to_ask_again(response: Response, job: Job) -> None:
    """Where the job goes on."""
    if not job.state.is_finished:
        response.headers[POLL_AFTER] = str(_POLL_AFTER_MS)
