"""The loop learns, reports, and gives the same bits whether or not it was interrupted."""

import logging
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from toy.training.errors import Diverged, StateMismatch
from toy.training.schedule import warm_cosine
from toy.training.stage import Outcome, Plan, Stage, Step

PLAN = Plan("line", steps=60, learning_rate=0.05, warm_up=5)


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def stage(
    model: nn.Linear, folder: Path, plan: Plan = PLAN, *, evaluated: dict[int, Mapping[str, float]] | None = None
) -> Stage:
    """Fits `y = x . (1, 2, 3)` on fresh random x every step."""

    def loss(step: Step) -> Outcome:
        x = step.normal_like(torch.empty(16, 3))
        y = x @ torch.tensor([[1.0], [2.0], [3.0]])
        error = (model(x) - y).square().mean()
        return Outcome(error, {"bias": model.bias.detach().abs().mean()})

    def evaluate(step: int) -> Mapping[str, float]:
        assert evaluated is not None
        evaluated[step] = {"weight": model.weight[0, 2].item()}
        return evaluated[step]

    return Stage(plan, model, loss, folder=folder, evaluate=evaluate if evaluated is not None else None)


def test_learns(tmp_path: Path) -> None:
    model = linear()
    assert stage(model, tmp_path, replace(PLAN, steps=400, ema_decay=0.9)).run()
    torch.testing.assert_close(model.weight, torch.tensor([[1.0, 2.0, 3.0]]), atol=0.02, rtol=0)


def test_interrupted_run_gives_the_same_bits(tmp_path: Path) -> None:
    whole, parts = linear(), linear()
    assert stage(whole, tmp_path / "whole").run()
    assert not stage(parts, tmp_path / "parts").run(stop_at=7)
    assert not stage(parts, tmp_path / "parts").run(stop_at=31)
    resumed = nn.Linear(3, 1)  # other initial weights: all must come from the state
    assert stage(resumed, tmp_path / "parts").run()
    assert torch.equal(resumed.weight, whole.weight)
    assert torch.equal(resumed.bias, whole.bias)


def test_muon_trains_what_it_is_given_and_resumes(tmp_path: Path) -> None:
    def run(folder: str, model: nn.Linear, stop_at: int | None = None) -> None:
        def loss(step: Step) -> Outcome:
            x = step.normal_like(torch.empty(16, 3))
            return Outcome((model(x) - x.flip(1)).square().mean())

        plan = replace(PLAN, steps=200)
        Stage(plan, model, loss, folder=tmp_path / folder, by_muon=lambda _, p: p.ndim == 2).run(stop_at=stop_at)

    torch.manual_seed(0)
    whole = nn.Linear(3, 3)
    parts = deepcopy(whole)
    run("whole", whole)
    run("parts", parts, stop_at=90)
    resumed = nn.Linear(3, 3)
    run("parts", resumed)
    torch.testing.assert_close(whole.weight, torch.eye(3).flip(1), atol=0.05, rtol=0)
    assert torch.equal(resumed.weight, whole.weight)


def test_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    model, again = linear(), nn.Linear(3, 1)
    stage(model, tmp_path).run()
    written = (tmp_path / "line.pt").stat().st_mtime_ns
    assert stage(again, tmp_path).run()
    assert (tmp_path / "line.pt").stat().st_mtime_ns == written  # processes may read it at the same time
    assert torch.equal(again.weight, model.weight)


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    model = linear()
    model.bias.requires_grad_(False)
    bias, weight = model.bias.clone(), model.weight.clone()
    stage(model, tmp_path).run()
    assert torch.equal(model.bias, bias)
    assert not torch.equal(model.weight, weight)


def test_state_of_another_plan_is_refused(tmp_path: Path) -> None:
    stage(linear(), tmp_path).run(stop_at=3)
    with pytest.raises(StateMismatch, match=r"steps 60 -> 61"):
        stage(linear(), tmp_path, replace(PLAN, steps=61)).run()


def test_half_written_state_does_not_harm(tmp_path: Path) -> None:
    stage(linear(), tmp_path).run(stop_at=3)
    (tmp_path / "line.part").write_bytes(b"torn")
    assert stage(linear(), tmp_path).run()


def test_divergence_is_an_error(tmp_path: Path) -> None:
    model = linear()
    with torch.no_grad():
        model.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match="step 0"):
        stage(model, tmp_path).run()


def test_evaluates_the_average_and_leaves_training_alone(tmp_path: Path) -> None:
    plain, watched = linear(), linear()
    figures: dict[int, Mapping[str, float]] = {}
    stage(plain, tmp_path / "plain").run()
    plan = replace(PLAN, evaluate_every=25)
    stage(watched, tmp_path / "watched", plan, evaluated=figures).run()
    assert list(figures) == [25, 50, 60]
    assert figures[60]["weight"] == watched.weight[0, 2].item()
    assert torch.equal(plain.weight, watched.weight)


def test_reports_means_and_time_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toy.training.stage.REPORT_SECONDS", 0.0)
    caplog.set_level(logging.INFO, "toy.training")
    stage(linear(), tmp_path, replace(PLAN, steps=2)).run()
    assert "line 2/2, 0.0 min left" in caplog.messages[-2]
    assert "bias" in caplog.messages[-2]
    assert "line: done after 0.0 min" in caplog.messages[-1]


def test_scaled_changes_the_steps_only() -> None:
    assert PLAN.scaled(0.5) == replace(PLAN, steps=30)


def test_schedule_rises_and_falls() -> None:
    rates = [warm_cosine(step, 100, 10, 0.02) for step in range(101)]
    assert rates[0] == pytest.approx(0.1, rel=0.01)
    assert max(rates) == rates[9] or max(rates) == rates[10]
    assert rates[100] == pytest.approx(0.02)
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
