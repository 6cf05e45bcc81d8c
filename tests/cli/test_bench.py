"""`tritonreel bench` against a real server."""

import json
import math

import pytest

from cli.bench import percentile
from protocol.errors import ModelFailed
from tests.cli.conftest import Run
from tests.frontend.fake_generator import FakeGenerator


def test_the_numbers(url: str, run: Run, generator: FakeGenerator) -> None:
    done = run("bench", "-r", "6", "-c", "3", "--frames", "5", "--json")

    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["requests"], result["concurrency"], result["errors"]) == (6, 3, {})
    assert 0 < result["p50"] <= result["p95"] <= result["seconds"]
    assert result["frames_per_second"] == pytest.approx(5 * result["per_second"])
    assert result["per_second"] == pytest.approx(6 / result["seconds"])
    assert sorted(spec.seed for spec in generator.jobs.values()) == [0, 1, 2, 3, 4, 5]


def test_images_and_a_table(url: str, run: Run) -> None:
    head, row = run("bench", "-r", "2", "--kind", "image").stdout.splitlines()

    assert "IMAGES/S" in head
    assert row.split()[:2] == ["2", "4"]
    assert row.split()[-1] == "0"


def test_errors_are_counted(url: str, run: Run, generator: FakeGenerator) -> None:
    generator.error_for = lambda spec: ModelFailed("no") if spec.seed % 2 else None

    done = run("bench", "-r", "4", "-c", "1", "--json")

    assert done.exit_code == 1
    assert json.loads(done.stdout)["errors"] == {"model_failed": 2}


def test_percentiles_are_values_that_were_measured() -> None:
    assert [percentile([1.0, 2.0, 3.0, 4.0], per_cent) for per_cent in (50, 95)] == [2.0, 4.0]
    assert percentile([5.0], 50) == 5.0
    assert math.isnan(percentile([], 50))
