"""The environment of processes that need none of the server's secrets."""

import os

_SECRETS = ("TRITONREEL_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def without_secrets() -> dict[str, str]:
    """Our environment, but for what only the frontend needs: the API key, and the keys of its storage."""
    return {name: value for name, value in os.environ.items() if name not in _SECRETS}
