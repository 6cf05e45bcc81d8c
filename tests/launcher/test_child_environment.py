"""Secrets go to the frontend alone."""

import pytest

from frontend.providers.registry import OFFERS
from launcher.child_environment import SECRETS, without_secrets

NO_SECRETS = {"GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_CLOUD_PROJECT"}


def test_keys_of_providers_go_to_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {name for offer in OFFERS for name in offer.variables} - NO_SECRETS
    for name in variables | SECRETS:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("TRITONREEL_LORA_DIR", "loras")

    environment = without_secrets()

    assert "secret" not in environment.values()
    assert environment["TRITONREEL_LORA_DIR"] == "loras"
