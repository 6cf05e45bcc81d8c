"""Calls of models that come and go: each finds its model loaded, and so does every call of a video's sequence."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import torch

from pipelines.ensemble.residency import Residency
from pipelines.ensemble.swapping import LauncherControl, SwappingEvaluate, SwappingRunner, route
from pipelines.runner import Chunk, Inputs, Shared, Tensors
from pipelines.vae_stream import stream
from protocol.errors import ModelFailed
from protocol.residency import Answer, Command
from tests.model_cards import model_card

VAE, OTHER = "vae", "transformer"


class Control:
    """Loads and unloads at once."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()

    async def load(self, model: str) -> None:
        self.loaded.add(model)

    async def unload(self, model: str) -> None:
        self.loaded.discard(model)


class Models:
    """A `ModelRunner` that fails for what is not loaded, and for chunks that it is told to fail for."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self.calls: list[tuple[str, Chunk | None]] = []
        self.fails = False

    async def infer(self, model: str, inputs: Inputs, output: str, chunk: Chunk | None = None) -> torch.Tensor:
        assert model in self._control.loaded
        self.calls.append((model, chunk))
        await asyncio.sleep(0)
        assert model in self._control.loaded
        if self.fails:
            raise ModelFailed("broken")
        return torch.zeros(1)


class Served:
    """Two models, of which one fits."""

    def __init__(self) -> None:
        self.control = Control()
        self.models = Models(self.control)
        self.clock = 0.0
        self.residency = Residency(self.control, 10, clock=lambda: self.clock)
        self.residency.add({VAE: 10, OTHER: 10})
        self.runner = SwappingRunner(self.models, self.residency)

    def decode(self, chunks: int) -> AsyncIterator[torch.Tensor]:
        return stream([torch.zeros(1, 1, 1, 1, 1)] * chunks, self.runner, VAE, "latents", "frames")

    async def other(self) -> None:
        await self.runner.infer(OTHER, {}, "sample")


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_sequence_keeps_its_model_between_its_calls() -> None:
    served = Served()
    decoding = served.decode(3)
    await anext(decoding)
    served.clock = 1000
    other = asyncio.create_task(served.other())
    await settle()
    assert not other.done()

    rest = [output async for output in decoding]
    await other
    assert len(rest) == 2
    assert served.control.loaded == {OTHER}


@pytest.mark.parametrize("fails", [False, True])
async def test_a_sequence_that_ends_early_or_fails_keeps_nothing(fails: bool) -> None:
    served = Served()
    decoding = served.decode(3)
    await anext(decoding)
    served.models.fails = fails
    if fails:
        with pytest.raises(ModelFailed, match="broken"):
            await anext(decoding)
        served.models.fails = False
    else:
        await decoding.aclose()  # type: ignore[attr-defined]

    await served.other()


async def test_a_sequence_that_was_cancelled_before_its_model_came_calls_nothing() -> None:
    served = Served()
    entered = asyncio.create_task(served.residency.enter(OTHER))
    await entered
    waiting = asyncio.ensure_future(anext(served.decode(2)))
    await settle()
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    assert served.models.calls == []

    served.residency.leave(OTHER)
    await served.other()


async def test_rows_keep_their_transformer_while_they_wait_for_their_batch() -> None:
    served = Served()
    batch = asyncio.Event()

    async def evaluate(model: str, rows: Tensors, shared: Shared = Shared()) -> torch.Tensor:  # noqa: B008 (frozen)
        await batch.wait()
        assert model in served.control.loaded
        return torch.zeros(1)

    row = asyncio.create_task(SwappingEvaluate(evaluate, served.residency)(OTHER, {}))
    await settle()
    served.clock = 1000
    decoding = asyncio.ensure_future(anext(served.decode(1)))
    await settle()
    assert not decoding.done()
    batch.set()
    await asyncio.gather(row, decoding)


def test_a_job_goes_through_its_models_in_order() -> None:
    card = model_card()
    parts = card.components.model_copy(update={"vae_encoder": "encoder"})
    card = card.model_copy(update={"components": parts})

    rest = [parts.transformer, parts.transformer_2, parts.vae]
    assert route(card, has_image=False) == [parts.text_encoder, *rest]
    assert route(card, has_image=True) == [parts.text_encoder, "encoder", *rest]


@asynccontextmanager
async def launcher(socket: Path, answer: Callable[[bytes], bytes]) -> AsyncIterator[LauncherControl]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await reader.readline()))
        writer.close()

    serving: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = serve
    server = await asyncio.start_unix_server(serving, socket)
    async with server:
        yield LauncherControl(socket)


async def test_the_launcher_is_asked_and_its_reason_is_told(tmp_path: Path) -> None:
    asked = []

    def answer(line: bytes) -> bytes:
        command = Command.model_validate_json(line)
        asked.append((command.action, command.model))
        error = "no space left" if command.action == "unload" else None
        return Answer(error=error).model_dump_json().encode() + b"\n"

    async with launcher(tmp_path / "s", answer) as control:
        await control.load(VAE)
        with pytest.raises(ModelFailed, match="no space left"):
            await control.unload(VAE)
    assert asked == [("load", VAE), ("unload", VAE)]


async def test_a_launcher_that_says_nothing_or_is_not_there_is_an_error(tmp_path: Path) -> None:
    async with launcher(tmp_path / "s", lambda line: b"") as control:
        with pytest.raises(ModelFailed, match="gave no answer"):
            await control.load(VAE)
    with pytest.raises(ModelFailed, match="cannot be reached"):
        await LauncherControl(tmp_path / "none").load(VAE)
