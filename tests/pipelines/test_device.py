"""Latents stay on the device of the models from the noise to the VAE: the steps of a job copy nothing to the host.

torch's device `meta` stands for a GPU: its tensors have no values, so that reading one on the host is an error.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from export.tokenizer import fast_tokenizer
from pipelines.condition_cache import ConditionCache
from pipelines.conditions import TextConditions
from pipelines.denoise import Estimate
from pipelines.families import FAMILIES, Pipeline
from pipelines.lora.adapters import Adapters
from pipelines.lora.folder import LoraFolder
from pipelines.runner import Chunk, Inputs, Shared, Tensors
from pipelines.solver_state import SolverState
from pipelines.tokenizer import TOKENIZER_FILE
from protocol.model_card import ModelCard, RotaryEmbedding
from protocol.resolve import parse, resolve
from tests.conftest import ROOT
from tests.model_cards import image_to_video_card, model_card, text_or_image_to_video_card, text_to_image_card

META = torch.device("meta")
CHECKPOINTS = ROOT / "toy" / "checkpoints"
QWEN = text_to_image_card().model_copy(update={"rope": RotaryEmbedding(theta=10000, axes_dims=(8, 12, 12))})


def with_encoder(card: ModelCard) -> ModelCard:
    return card.model_copy(update={"components": card.components.model_copy(update={"vae_encoder": "vae_encoder"})})


CARDS = [model_card(), with_encoder(image_to_video_card()), with_encoder(text_or_image_to_video_card()), QWEN]


class OnDevice:
    """Models that answer on `meta`, and what they were given."""

    def __init__(self, card: ModelCard, transformer: torch.device = META) -> None:
        self._channels = card.latents.channels
        self._transformer = transformer
        self.devices: set[torch.device] = set()
        self.evaluations = 0

    async def infer(self, model: str, inputs: Inputs, output: str, chunk: Chunk | None = None) -> torch.Tensor:
        (source,) = inputs.values()
        assert isinstance(source, torch.Tensor)
        self.devices.add(source.device)
        frames, height, width = source.shape[2:]
        if output == "latents":  # the cache of conditions takes what DLPack knows; the job moves it once
            return torch.zeros(1, self._channels, -(-frames // 4), height // 8, width // 8)
        return torch.empty(1, 3, 1 if chunk is None or chunk.start else 4, 8 * height, 8 * width, device=META)

    async def evaluate(self, model: str, rows: Tensors, shared: Shared = Shared()) -> torch.Tensor:  # noqa: B008
        self.evaluations += 1
        self.devices |= {row.device for row in rows.values()}
        self.devices |= {one.device for one in shared.inputs.values() if isinstance(one, torch.Tensor)}
        latents = rows["hidden_states"]
        return torch.zeros_like(
            latents if latents.ndim == 3 else latents[:, : self._channels], device=self._transformer
        )


def pipeline_of(card: ModelCard, folder: Path, models: OnDevice) -> Pipeline[Any]:
    checkpoint = CHECKPOINTS / ("toy-qwen-image" if card.family == "qwen_image" else "toy-wan-t2v")
    card.write(folder)
    (folder / TOKENIZER_FILE).write_text(fast_tokenizer(checkpoint / "tokenizer"))
    shutil.copytree(checkpoint / "scheduler", folder / "scheduler")
    adapters = Adapters.of(folder, LoraFolder(None))
    return FAMILIES[card.family](folder, models, models.evaluate, adapters, ConditionCache(0), META)


@pytest.mark.parametrize(
    ("card", "solver"),
    [pytest.param(card, solver, id=f"{card.id}-{solver}") for card in CARDS for solver in card.solvers],
)
async def test_no_step_reads_anything_on_the_host(card: ModelCard, solver: str, tmp_path: Path) -> None:
    models = OnDevice(card)
    pipeline = pipeline_of(card, tmp_path, models)
    fields: dict[str, Any] = {"prompt": "a cat", "num_inference_steps": 3, "solver": solver}
    if "image-to-video" in card.tasks:
        fields["image"] = torch.zeros(card.defaults.height, card.defaults.width, 3, dtype=torch.uint8).numpy()
    params = resolve(parse(fields), card)
    steps = []

    async def after_step(state: SolverState, estimate: Estimate | None) -> None:
        steps.append(state.steps_done)
        assert estimate is None or estimate().device == META

    text = TextConditions(torch.zeros(1, 8, 4), torch.zeros(1, 8, 4))  # they may come from the host
    image = await pipeline.encode_image(params)
    latents = await pipeline.sample(params, text, image, after_step)
    assert latents.device == META
    assert (steps, models.evaluations) == ([0, 1, 2, 3], 3)
    decoded = [frames async for frames in pipeline.decode(latents)]
    assert {frames.device for frames in decoded} == models.devices == {META}


@pytest.mark.parametrize("card", [CARDS[0], QWEN], ids=lambda card: card.id)
async def test_what_a_model_answers_elsewhere_is_brought_to_the_latents(card: ModelCard, tmp_path: Path) -> None:
    models = OnDevice(card, transformer=torch.device("cpu"))
    params = resolve(parse({"prompt": "a cat", "num_inference_steps": 2}), card)

    async def after_step(state: SolverState, estimate: Estimate | None) -> None:
        pass

    text = TextConditions(torch.zeros(1, 8, 4), torch.zeros(1, 8, 4))
    latents = await pipeline_of(card, tmp_path, models).sample(params, text, None, after_step)
    assert latents.device == META
    assert models.devices == {META}


def test_reading_on_the_host_would_be_an_error() -> None:
    latents = torch.zeros(2, device=META)
    for read in (latents.cpu, latents.numpy, latents.tolist, latents.sum().item, lambda: float(latents[0])):
        with pytest.raises((NotImplementedError, TypeError, RuntimeError)):
            read()
