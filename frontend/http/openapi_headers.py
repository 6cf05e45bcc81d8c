"""OpenAPI's description of headers that the routes read themselves."""

from typing import Any

from frontend.http.request_identity import IDEMPOTENCY_KEY

REPEATS = (
    f"A create that is sent again with the same `{IDEMPOTENCY_KEY}`, or by an OpenAI SDK within a quarter of an hour, "
    "is answered with what the first one made, unless that was cancelled, or failed in a way that another try may mend."
)


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"}}


IDEMPOTENCY = _header(
    IDEMPOTENCY_KEY,
    "1 to 255 characters, new ones for each create, and the same when it is sent again. With another request they "
    "are answered with 422.",
)
_PREFERENCES = (
    "`respond-async`: answer at once; `wait=N`: after N seconds at the latest. The answer is the video as it is then, "
    "and its job goes on if the client leaves. `Preference-Applied` says what was done. A request without it is "
    "answered"
)
PREFER = _header(
    "Prefer",
    f"{_PREFERENCES} as the server is set (`TRITONREEL_VIDEOS_RESPOND`): when the videos are done, unless that says "
    "`async`.",
)
PREFER_WAITING = _header("Prefer", f"{_PREFERENCES} when the videos are done.")
"""of routes that wait, however the server is set"""
PREFER_JOB = _header(
    "Prefer",
    "`respond-async`: answer at once; `wait=N`: after N seconds at the latest. The answer is 202 and the job, as "
    "`GET /v1/jobs/{id}` has it, if it has not ended by then; it goes on if the client leaves. `Preference-Applied` "
    "says what was done. Without effect with `stream`.",
)
