"""The environment of processes that need none of the server's secrets."""

import os

SECRETS = frozenset(
    {
        "TRITONREEL_API_KEY",
        "TRITONREEL_JOBS",  # a URL with a password in it
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("WAVESPEED_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY", "KLINGAI_ACCESS_KEY", "KLINGAI_SECRET_KEY"),
    }
)
"""that only the frontend needs"""


def without_secrets() -> dict[str, str]:
    """Our environment, but for the secrets."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS}
