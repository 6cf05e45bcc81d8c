"""What Google's errors mean (https://google.aip.dev/193)."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from frontend.providers.errors import (
    ContentRefused,
    ProviderBilling,
    ProviderError,
    ProviderKeyRefused,
    ProviderUnavailable,
    RequestRefused,
)
from frontend.providers.transport import error_of_status, failure, mentions, one_line, retry_after

if TYPE_CHECKING:
    from google.auth.exceptions import GoogleAuthError
    from google.genai.errors import APIError

_BILLING_WORDS = ("billing", "prepay", "credits")
_REFUSED_WORDS = ("usage guidelines", "responsible ai", "safety", "content polic")


def error_of_job(error: dict[str, Any]) -> ProviderError:
    """Of a job that ended with it."""
    reason = str(error.get("message") or error.get("code") or "no reason is given")
    return failure("Google", reason, _REFUSED_WORDS)


def error_of_answer(error: "APIError", submits: bool) -> ProviderError:
    """What an answer says that is not a success."""
    details = list(_details(error))
    delay = next((_seconds(detail["retryDelay"]) for detail in details if "retryDelay" in detail), None)
    made = _told(error, [detail.get("reason") for detail in details], delay is not None, submits)
    made.retry_after = retry_after(error.response.headers) if delay is None else delay
    return made


def _told(error: "APIError", reasons: list[Any], has_delay: bool, submits: bool) -> ProviderError:
    status, message = error.code, one_line(str(error.message or error.status))
    said = f"Google: {message}"
    if status == 401 or "API_KEY_INVALID" in reasons:
        return ProviderKeyRefused(f"{said}. Check GEMINI_API_KEY, or the credentials for Vertex AI")
    # what a minute helps with is said with the words of an account that is empty, but with a delay
    if 400 <= status < 500 and not has_delay and mentions(message, _BILLING_WORDS):
        return ProviderBilling(f"{said}. Check the billing of the project at https://console.cloud.google.com/billing")
    if status == 403:
        return ProviderKeyRefused(f"{said}. Check what this server's key, or its credentials, may do")
    if 400 <= status < 500 and status not in (408, 429):
        refused = mentions(message, _REFUSED_WORDS)
        return ContentRefused(said, "prompt") if refused else RequestRefused(said)
    return error_of_status(status, said, submits)


def error_of_credentials(error: "GoogleAuthError") -> ProviderError:
    """Nothing has been sent."""
    kind = type(error).__name__
    if error.retryable:
        return ProviderUnavailable(f"Google cannot be asked for an access token: {kind}")
    advice = "Check GOOGLE_APPLICATION_CREDENTIALS"
    return ProviderKeyRefused(f"Google takes no credentials of this server: {kind}. {advice}")


def _details(error: "APIError") -> Iterator[dict[str, Any]]:
    """What stands beside the message."""
    body = error.details.get("error") if isinstance(error.details, dict) else None
    details = body.get("details") if isinstance(body, dict) else None
    return (detail for detail in (details if isinstance(details, list) else []) if isinstance(detail, dict))


def _seconds(delay: Any) -> float | None:
    """Of a duration as Google's JSON has it, such as 1.5s."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)s", str(delay))
    return float(match[1]) if match else None
