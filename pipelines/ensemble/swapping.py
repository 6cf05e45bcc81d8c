"""Runs models that come and go: each call waits until its model is loaded, and keeps it there."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from pipelines.ensemble.residency import Residency
from pipelines.runner import Chunk, Evaluate, Inputs, ModelRunner, Shared, Tensors
from protocol.errors import ModelFailed
from protocol.model_card import ModelCard
from protocol.residency import Answer, Command


class LauncherControl:
    """A `ModelControl`: asks the launcher, which knows the models' processes.

    Args:
        socket: that it listens at.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def load(self, model: str) -> None:
        await self._ask("load", model)

    async def unload(self, model: str) -> None:
        await self._ask("unload", model)

    async def _ask(self, action: Literal["load", "unload"], model: str) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
            try:
                writer.write(Command(action=action, model=model).model_dump_json().encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
        except OSError as error:
            raise ModelFailed(f"the launcher cannot be reached ({error.strerror})") from error
        if not line:
            raise ModelFailed("the launcher gave no answer")
        answer = Answer.model_validate_json(line)
        if answer.error is not None:
            raise ModelFailed(answer.error)


class SwappingRunner:
    """A `ModelRunner`. A sequence keeps its model loaded from its first call to its last."""

    def __init__(self, runner: ModelRunner, residency: Residency) -> None:
        self._runner = runner
        self._residency = residency
        self._sequences: set[int | str] = set()

    async def infer(self, model: str, inputs: Inputs, output: str, chunk: Chunk | None = None) -> torch.Tensor:
        if chunk is None:
            async with self._residency.call(model):
                return await self._runner.infer(model, inputs, output)
        if chunk.start:
            await self._residency.enter(model)
            self._sequences.add(chunk.sequence_id)
        elif chunk.sequence_id not in self._sequences:
            raise ModelFailed(f"{model}: the sequence was not started")
        try:
            return await self._runner.infer(model, inputs, output, chunk)
        finally:
            if chunk.end:
                self._sequences.remove(chunk.sequence_id)
                self._residency.leave(model)


class SwappingEvaluate:
    """An `Evaluate`: rows keep their transformer loaded from when they wait for a batch until they are done."""

    def __init__(self, evaluate: Evaluate, residency: Residency) -> None:
        self._evaluate = evaluate
        self._residency = residency

    async def __call__(
        self,
        model: str,
        rows: Tensors,
        shared: Shared = Shared(),  # noqa: B008 (frozen)
    ) -> torch.Tensor:
        async with self._residency.call(model):
            return await self._evaluate(model, rows, shared)


def route(card: ModelCard, has_image: bool) -> Sequence[str]:
    """The models that a job needs, in this order."""
    parts = card.components
    encoder = parts.vae_encoder if has_image else None
    through = (parts.text_encoder, encoder, parts.transformer, parts.transformer_2, parts.vae)
    return [model for model in through if model is not None]
