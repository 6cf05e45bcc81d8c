import pytest
from pydantic import ValidationError

from frontend.settings import Settings


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONREEL_TRITON_URL", "triton:9001")
    monkeypatch.setenv("TRITONREEL_UNKNOWN_FIELDS", "refuse")
    monkeypatch.setenv("TRITONREEL_STALL_TIMEOUT_SECONDS", "2.5")
    settings = Settings()
    assert (settings.triton_url, settings.unknown_fields, settings.stall_timeout_seconds) == (
        "triton:9001",
        "refuse",
        2.5,
    )


def test_they_bind_to_this_machine_unless_told_otherwise() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.triton_url) == ("127.0.0.1", 8000, "127.0.0.1:8001")


def test_they_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "70000"), ("LOG_FORMAT", "xml"), ("MAX_BODY_BYTES", "0"), ("JOB_TIMEOUT_SECONDS", "-1")],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"TRITONREEL_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()
