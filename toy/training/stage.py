"""The training loop that every stage runs: the same result whether or not it was interrupted."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from toy.training.ema import Ema
from toy.training.errors import Diverged
from toy.training.muon import Muon
from toy.training.schedule import warm_cosine
from toy.training.state import State, load_state, save_state

log = logging.getLogger(__name__)

REPORT_SECONDS = 10.0
SAVE_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """Settings of one stage; they alone (with the data) fix its result.

    steps, warm_up: optimiser steps
    learning_rate: peak; `final` is the fraction of it left at the last step
    ema_decay: of the EMA of the parameters, which is what the stage hands on
    clip: largest gradient norm
    evaluate_every: steps between evaluations; 0 for none
    """

    name: str
    steps: int
    learning_rate: float
    warm_up: int = 50
    final: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)  # AdamW's
    weight_decay: float = 1e-4
    ema_decay: float = 0.99
    clip: float = 1.0
    evaluate_every: int = 0
    seed: int = 0

    def scaled(self, factor: float) -> "Plan":
        """The same stage with `factor` times the steps."""
        return replace(self, steps=max(1, round(self.steps * factor)))


class Step:
    """One step's number and randomness.

    The generators are seeded by (plan seed, step), so a step draws the same numbers in whichever run it happens, and
    nothing of them needs saving.
    """

    def __init__(self, index: int, steps: int, seed: int) -> None:
        self.index = index
        self.progress = index / steps
        self.numpy = np.random.default_rng([seed, index])
        self.torch = torch.Generator().manual_seed(int(self.numpy.integers(2**62)))

    def normal_like(self, tensor: Tensor) -> Tensor:
        """Standard normal noise of the tensor's shape, dtype and device; the same numbers on every device."""
        return torch.randn(tensor.shape, generator=self.torch).to(tensor)


class Outcome(NamedTuple):
    """What a step's loss function returns: the scalar to minimise, and scalars worth a place in the log."""

    loss: Tensor
    figures: Mapping[str, Tensor] = {}


class Stage:
    """Trains the parameters of `model` that require a gradient by `loss`, and leaves their EMA in the model.

    `loss(step)` computes one batch's outcome with the model (on the model's device). `evaluate(step)` runs every
    `plan.evaluate_every` steps and when the last is done, under `no_grad` and with their EMA in the model; its
    figures go to the log. Muon trains the parameters that `by_muon(name, parameter)` picks, at `muon_rate` times the
    plan's learning rate, AdamW the others. The state lies in `folder/<plan.name>.pt`.
    """

    def __init__(
        self,
        plan: Plan,
        model: nn.Module,
        loss: Callable[[Step], Outcome],
        *,
        folder: Path,
        evaluate: Callable[[int], Mapping[str, float]] | None = None,
        by_muon: Callable[[str, nn.Parameter], bool] | None = None,
        muon_rate: float = 1.0,
    ) -> None:
        self._plan = plan
        self._model = model
        self._loss = loss
        self._evaluate = evaluate
        self._path = folder / f"{plan.name}.pt"
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._optimizers = _optimizers(plan, model, by_muon)
        self._muon_rate = muon_rate
        self._ema = Ema(model, plan.ema_decay)
        self._step = 0
        self._elapsed = 0.0

    def run(self, *, stop_at: int | None = None) -> bool:
        """Trains from the saved state (or from the start) to the plan's end; True when it got there.

        `stop_at` ends the run early at that step, as an interruption after a save would.

        Raises:
            StateMismatch: the saved state is of another plan.
            Diverged: the loss is not finite.
        """
        self._resume()
        resumed, steps = self._step, self._plan.steps
        last = steps if stop_at is None else min(stop_at, steps)
        progress = _Progress(self._plan, self._step)
        saved = begun = time.monotonic()
        before = self._elapsed
        while self._step < last:
            progress.add(self._one_step())
            now = time.monotonic()
            self._elapsed = before + now - begun
            if now - saved >= SAVE_SECONDS:
                self._save()
                saved = now
            if progress.due(now):
                progress.report(self._step, now)
            every = self._plan.evaluate_every
            if every and self._step % every == 0 and self._step < steps:
                self._log_evaluation()
        if self._step > resumed:
            self._save()
        if self._step < steps:
            return False
        if steps > resumed:
            log.info("%s: done after %.1f min", self._plan.name, self._elapsed / 60)
            self._log_evaluation()
        self._ema.copy_to_model()
        return True

    def _one_step(self) -> dict[str, float]:
        plan = self._plan
        rate = plan.learning_rate * warm_cosine(self._step, plan.steps, plan.warm_up, plan.final)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * self._muon_rate if isinstance(optimizer, Muon) else rate
        outcome = self._loss(Step(self._step, plan.steps, plan.seed))
        loss = outcome.loss.item()
        if not np.isfinite(loss):
            raise Diverged(f"{plan.name}: the loss is {loss} at step {self._step}; lower the learning rate")
        self._model.zero_grad(set_to_none=True)
        outcome.loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._trained, plan.clip)
        for optimizer in self._optimizers:
            optimizer.step()
        self._step += 1
        self._ema.update(self._step)
        return {"loss": loss} | {name: value.item() for name, value in outcome.figures.items()}

    def _log_evaluation(self) -> None:
        if self._evaluate is None:
            return
        with self._ema.applied(), torch.no_grad():
            figures = self._evaluate(self._step)
        log.info("%s evaluation at step %d: %s", self._plan.name, self._step, _line(figures))

    def _save(self) -> None:
        state = State(
            plan=asdict(self._plan),
            step=self._step,
            elapsed=self._elapsed,
            model=self._model.state_dict(),
            ema=self._ema.values,
            optimizers=[optimizer.state_dict() for optimizer in self._optimizers],
        )
        save_state(state, self._path)

    def _resume(self) -> None:
        state = load_state(self._path, asdict(self._plan))
        if state is None:
            return
        self._model.load_state_dict(state.model)
        for name, value in self._ema.values.items():
            value.copy_(state.ema[name])
        for optimizer, saved in zip(self._optimizers, state.optimizers, strict=True):
            optimizer.load_state_dict(saved)
        self._step, self._elapsed = state.step, state.elapsed
        log.info("%s: resumed at step %d of %d", self._plan.name, self._step, self._plan.steps)


def _optimizers(
    plan: Plan, model: nn.Module, by_muon: Callable[[str, nn.Parameter], bool] | None
) -> list[torch.optim.Optimizer]:
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = {name: p for name, p in trained.items() if by_muon is not None and by_muon(name, p)}
    others = [p for name, p in trained.items() if name not in matrices]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        optimizers.append(Muon(matrices.values(), plan.learning_rate, weight_decay=plan.weight_decay))
    if others:
        optimizers.append(
            torch.optim.AdamW(others, plan.learning_rate, betas=plan.betas, weight_decay=plan.weight_decay)
        )
    return optimizers


class _Progress:
    """Means of the figures since the last report, and the time left."""

    def __init__(self, plan: Plan, step: int) -> None:
        self._plan = plan
        self._begun = self._reported = time.monotonic()
        self._first = step
        self._sums: dict[str, list[float]] = {}

    def add(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._sums.setdefault(name, []).append(value)

    def due(self, now: float) -> bool:
        return now - self._reported >= REPORT_SECONDS

    def report(self, step: int, now: float) -> None:
        seconds = (now - self._begun) / (step - self._first)
        left = (self._plan.steps - step) * seconds / 60
        means = {name: sum(values) / len(values) for name, values in self._sums.items()}
        log.info(
            "%s %d/%d, %.1f min left, %.3f s per step: %s",
            self._plan.name,
            step,
            self._plan.steps,
            left,
            seconds,
            _line(means),
        )
        self._sums.clear()
        self._reported = now


def _line(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
