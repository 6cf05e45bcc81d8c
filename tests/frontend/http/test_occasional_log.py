import json

import pytest

from frontend.http import occasional_log
from frontend.http.occasional_log import OccasionalLog


def test_a_thousand_events_are_one_line_and_a_count(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = OccasionalLog("it happened")
    for _ in range(1000):
        log.warning(where="here")
    assert len(caplog.records) == 1
    monkeypatch.setattr(occasional_log, "_SECONDS", 0.0)
    log._silent_until = 0.0
    log.warning(where="there")
    lines = [json.loads(line) if isinstance(line, str) else line for line in (r.msg for r in caplog.records)]
    assert [(line["event"], line["times"], line["where"]) for line in lines] == [
        ("it happened", 1, "here"),
        ("it happened", 1000, "there"),
    ]
