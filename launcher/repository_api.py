"""Triton's HTTP endpoints for health, model configuration and the model repository."""

import json
import re
from pathlib import Path

import httpx

from protocol.events import Failed, Refreshed, read_event

_MODEL_EXCEPTION = re.compile(r"\bTritonModelException: (.+?)\s*(?:\n\nAt:|\Z)", re.DOTALL)
"""a sentence for people, and where in the code it comes from"""


class RepositoryError(Exception):
    """Triton refused; the message is its own."""


class RepositoryApi:
    """Client of one tritonserver. Methods raise httpx.TransportError while it is not reachable. Thread-safe.

    Args:
        socket: the Unix socket of its HTTP service.
    """

    def __init__(self, socket: Path) -> None:
        no_idle_connections = httpx.Limits(max_keepalive_connections=0)  # tritonserver's shutdown waits for them
        transport = httpx.HTTPTransport(uds=str(socket), limits=no_idle_connections)
        self._client = httpx.Client(base_url="http://tritonserver", timeout=5.0, transport=transport)

    def close(self) -> None:
        self._client.close()

    def server_ready(self) -> bool:
        try:
            return self._client.get("/v2/health/ready").is_success
        except httpx.TransportError:
            return False

    def server_live(self) -> bool:
        """Whether tritonserver answers at all, within two seconds."""
        try:
            return self._client.get("/v2/health/live", timeout=2.0).is_success
        except httpx.TransportError:
            return False

    def model_ready(self, model: str) -> bool:
        """True once loaded. Stays true when the model's process dies: Triton does not notice that."""
        return self._client.get(f"/v2/models/{model}/ready").is_success

    def load(self, model: str) -> None:
        """Returns when the model is loaded, which may take minutes. Raises RepositoryError with the model's error."""
        self._post(f"/v2/repository/models/{model}/load", timeout=None)

    def unload(self, model: str) -> None:
        self._post(f"/v2/repository/models/{model}/unload", timeout=5.0)

    def is_decoupled(self, model: str) -> bool:
        """Whether the loaded `model` may answer one request with many responses."""
        config = self._client.get(f"/v2/models/{model}/config").raise_for_status().json()
        return bool(config.get("model_transaction_policy", {}).get("decoupled", False))

    def refresh(self, ensemble: str) -> Refreshed:
        """Ask the ensemble to serve what its file says, which may read a tokenizer and so take seconds.

        Raises RepositoryError, and pydantic.ValidationError for an answer that is none.
        """
        answer = self._client.post(f"/v2/models/{ensemble}/generate_stream", json={"task": "refresh"}, timeout=60)
        for line in answer.text.splitlines():
            if line.startswith("data:"):
                message = json.loads(line.removeprefix("data:"))
                event = read_event(message["event"]) if "event" in message else None
                if isinstance(event, Refreshed):
                    return event
                raise RepositoryError(event.message if isinstance(event, Failed) else str(message))
        raise RepositoryError(answer.text)

    def _post(self, path: str, timeout: float | None) -> None:
        response = self._client.post(path, timeout=timeout)
        if not response.is_success:
            raise RepositoryError(_in_its_words(response.json().get("error", response.text)))


def _in_its_words(message: str) -> str:
    """What a model says when it cannot be loaded, without what Triton and Python put around it."""
    found = _MODEL_EXCEPTION.search(message)
    return found[1] if found else message
