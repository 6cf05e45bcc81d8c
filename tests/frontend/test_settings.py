import pytest
from pydantic import ValidationError

from frontend.settings import Settings


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONREEL_TRITON_URL", "triton:9001")
    monkeypatch.setenv("TRITONREEL_UNKNOWN_FIELDS", "refuse")
    monkeypatch.setenv("TRITONREEL_STALL_TIMEOUT_SECONDS", "2.5")
    settings = Settings()
    assert (settings.triton_url, settings.unknown_fields, settings.stall_timeout_seconds) == (
        ("triton:9001",),
        "refuse",
        2.5,
    )


def test_they_bind_to_this_machine_unless_told_otherwise() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.triton_url) == ("127.0.0.1", 8000, ("127.0.0.1:8001",))


def test_there_may_be_several_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONREEL_TRITON_URL", "triton-1:8001, triton-2:8001 triton-3:8001,")
    assert Settings().triton_url == ("triton-1:8001", "triton-2:8001", "triton-3:8001")
    for wrong, why in (("triton-1", "'triton-1' is not the address of a server"), (",", "at least 1 item")):
        monkeypatch.setenv("TRITONREEL_TRITON_URL", wrong)
        with pytest.raises(ValidationError, match=why):
            Settings()


def test_they_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_aliases_are_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONREEL_MODEL_ALIASES", "sora-2=toy-wan-t2v  gpt-image-1=toy-qwen-image,")
    assert Settings().model_aliases == {"sora-2": "toy-wan-t2v", "gpt-image-1": "toy-qwen-image"}
    monkeypatch.setenv("TRITONREEL_MODEL_ALIASES", "sora-2")
    with pytest.raises(ValidationError, match="must be pairs ALIAS=MODEL with spaces between them, got sora-2"):
        Settings()


def test_the_log_level_has_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONREEL_LOG_LEVEL", "WARNING")
    assert Settings().log_level == "warning"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "70000"), ("LOG_FORMAT", "xml"), ("MAX_BODY_BYTES", "0"), ("JOB_TIMEOUT_SECONDS", "-1")],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"TRITONREEL_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()
