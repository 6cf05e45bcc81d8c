"""The report says what was measured, and says so when a goal is missed."""

import dataclasses

import pytest

from benchmarks.http_benchmark import HttpResult
from benchmarks.machine import Measured, clean
from benchmarks.perf_analyzer import read_report
from benchmarks.report import goals_table, http_goals, http_table, memory_goal

RESULT = HttpResult(
    rounds=5,
    steps=12,
    lone=[0.1, 0.2, 0.3],
    lone_diffusers=[0.4, 0.4, 0.4],
    four=[0.5],
    four_diffusers=[1.5],
    breakdown={"denoise_seconds": 0.08},
    overhead_per_step=0.002,
    mean_step_batch=7.5,
    server_mib=900,
    diffusers_mib=500,
    foreign_cores=0.02,
)


def test_goals_are_ratios_of_medians() -> None:
    lone, four, overhead = http_goals(RESULT)
    assert (lone.figure, lone.is_met) == (pytest.approx(0.5), True)
    assert (four.figure, four.is_met) == (pytest.approx(3.0), True)
    assert (overhead.figure, overhead.is_met) == (pytest.approx(2.0), True)


def test_a_missed_goal_is_shown_as_missed() -> None:
    slow = dataclasses.replace(RESULT, lone=[0.3], four=[1.0], overhead_per_step=0.006)
    assert goals_table([*http_goals(slow), memory_goal(100, 121)]).count("**missed**") == 4


def test_a_busy_machine_is_named() -> None:
    assert "do not count" not in http_table(RESULT)
    assert "do not count" in http_table(dataclasses.replace(RESULT, foreign_cores=0.4))


def test_disturbed_rounds_are_dropped_unless_hardly_any_is_left() -> None:
    quiet, busy = [Measured(1.0, 0.01)] * 3, [Measured(9.0, 0.5)] * 2
    assert clean(quiet + busy) == quiet
    assert clean(quiet[:2] + busy) == quiet[:2] + busy


def test_a_clips_latency_ends_with_its_last_response() -> None:
    second = 1_000_000_000
    requests = [
        {"timestamp": 0, "response_timestamps": [second // 10, second]},
        {"timestamp": second, "response_timestamps": [second + 5, 3 * second]},
    ]
    level = read_report({"experiments": [{"requests": requests}]}, concurrency=1)
    assert (level.clips, level.p50, level.clips_per_second) == (2, 1.5, pytest.approx(2 / 3))
