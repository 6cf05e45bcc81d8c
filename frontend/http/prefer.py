"""The `Prefer` header (RFC 7240): how long an answer may wait."""

import re
from dataclasses import dataclass

from fastapi import Request

_WAIT = re.compile(r'wait\s*=\s*"?([0-9]{1,9})"?', re.IGNORECASE)


@dataclass(frozen=True)
class Preference:
    """When a create is to be answered."""

    seconds: int | None
    """after this long at the latest, with the job as it is then; None once the job has ended"""
    applied: str | None
    """the value of `Preference-Applied`; None where the request asked for nothing"""


def preference_of(request: Request, *, waits: bool) -> Preference:
    """What the request asks for; what cannot be read counts as absent, as the RFC has it.

    Args:
        waits: whether an answer waits for the end where the request asks for nothing.
    """
    preferences = [part.strip().partition(";")[0].strip() for part in ",".join(_headers(request)).split(",")]
    is_async = any(preference.lower() == "respond-async" for preference in preferences)
    waiting = next((int(match[1]) for preference in preferences if (match := _WAIT.fullmatch(preference))), None)
    if not is_async and waiting is None:
        return Preference(None if waits else 0, None)
    applied = ["respond-async"] * is_async + ([] if waiting is None else [f"wait={waiting}"])
    return Preference(waiting or 0, ", ".join(applied))


def _headers(request: Request) -> list[str]:
    return request.headers.getlist("Prefer")
