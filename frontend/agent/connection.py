"""How clients of ours find a Tritonreel server, show their API key, and read its errors."""

import os

import httpx
from pydantic import SecretStr

from frontend.schemas.errors import ErrorBody, ErrorDetail

DEFAULT_URL = "http://127.0.0.1:8000"
URL_VARIABLE = "TRITONREEL_URL"
API_KEY_VARIABLE = "TRITONREEL_API_KEY"
CONNECT_SECONDS = 10.0


def server_url(url: str) -> str:
    """`url` without a slash at its end. Raises ValueError when it cannot be a server's."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or parsed.query:
        raise ValueError("the server's URL must be like http://127.0.0.1:8000, without user, password and query")
    return url.rstrip("/")


def authorization(key: SecretStr | None = None) -> dict[str, str]:
    """The headers that show a key.

    Args:
        key: what the environment has as TRITONREEL_API_KEY if None; an empty one is none.

    Raises:
        ValueError: it cannot be one.
    """
    text = os.environ.get(API_KEY_VARIABLE, "") if key is None else key.get_secret_value()
    if not text:
        return {}
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError(f"the API key in {API_KEY_VARIABLE} must be one word of printable ASCII characters")
    return {"Authorization": f"Bearer {text}"}


def error_of(response: httpx.Response) -> ErrorDetail:
    """What the server says is wrong, and what to do where that is for the client's environment.

    Raises:
        ValueError: it does not say so as a Tritonreel server does, see `not_ours`.
    """
    error = ErrorBody.model_validate_json(response.content).error
    hint = f" (set {API_KEY_VARIABLE})" if response.status_code == httpx.codes.UNAUTHORIZED else ""
    return error.model_copy(update={"message": error.message + hint})


def not_ours(response: httpx.Response) -> str:
    """What to say of an answer that is not one of a Tritonreel server."""
    return f"{response.url} answered {response.status_code}, but not as a Tritonreel server of this release does"
