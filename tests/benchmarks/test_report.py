"""The report says what was measured, and says so when a goal is missed."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import perf_analyzer
from benchmarks.http_benchmark import HttpResult, LoneRequest, Round, keep_undisturbed
from benchmarks.perf_analyzer import read_report
from benchmarks.report import goals_table, http_goals, http_table, memory_goal

ROUND = Round(
    diffusers_lone=0.4,
    lone=LoneRequest(wall=0.2, timings={"denoise_seconds": 0.1}, transformer=0.076),
    diffusers_four=1.5,
    four=0.5,
    batches=12,
    rows=90,
    foreign_cores=0.02,
)
RESULT = HttpResult(rounds=(ROUND,) * 3, dropped=1, steps=12, server_mib=900, diffusers_mib=500)


def with_round(**changes: Any) -> HttpResult:
    return dataclasses.replace(RESULT, rounds=(dataclasses.replace(ROUND, **changes),) * 3)


def test_goals_are_ratios_within_a_round() -> None:
    lone, four, overhead = http_goals(RESULT)
    assert [lone.figure, four.figure, overhead.figure] == pytest.approx([0.5, 3.0, 2.0])
    assert [lone.is_met, four.is_met, overhead.is_met] == [True, True, True]
    assert RESULT.mean_step_batch == 7.5


def test_a_missed_goal_is_shown_as_missed() -> None:
    slow = with_round(diffusers_lone=0.28, four=1.0, lone=dataclasses.replace(ROUND.lone, transformer=0.01))
    assert goals_table([*http_goals(slow), memory_goal(100, 121)]).count("**missed**") == 4


def test_a_busy_machine_is_named() -> None:
    assert "do not count" not in http_table(RESULT)
    assert "do not count" in http_table(with_round(foreign_cores=0.4))


def test_disturbed_rounds_are_dropped_unless_hardly_any_is_left() -> None:
    busy = dataclasses.replace(ROUND, foreign_cores=0.5)
    assert keep_undisturbed([ROUND, busy, ROUND, ROUND]) == [ROUND] * 3
    assert keep_undisturbed([ROUND, busy, ROUND]) == [ROUND, busy, ROUND]


def test_a_videos_latency_ends_with_its_last_response() -> None:
    second = 1_000_000_000
    requests = [
        {"timestamp": 0, "response_timestamps": [second // 10, second]},
        {"timestamp": second, "response_timestamps": [second + 5, 3 * second]},
    ]
    level = read_report({"experiments": [{"requests": requests}]}, concurrency=1)
    assert (level.videos, level.p50) == (2, 1.5)
    assert level.videos_per_second == pytest.approx(2 / 3)


def test_a_job_that_failed_is_no_measurement() -> None:
    """perf_analyzer itself takes the event for an answer like any other."""
    failed = {"frames": 0, "event": '{"type":"failed","code":"model_not_found","message":"no model","field":"model"}'}
    requests = [{"timestamp": 0, "response_timestamps": [1], "response_outputs": [failed]}]
    with pytest.raises(RuntimeError, match=r"a job failed: model_not_found\[model\]: no model"):
        read_report({"experiments": [{"requests": requests}]}, concurrency=1)


def test_the_requests_to_use_by_hand_are_those_of_the_benchmark() -> None:
    by_hand = Path(perf_analyzer.__file__).parent / "requests.json"
    assert by_hand.read_text() == perf_analyzer.requests(perf_analyzer.MODEL)
    requests = json.loads(by_hand.read_text())["data"]
    assert len({request["prompt"][0] for request in requests}) == len(requests) == 32
