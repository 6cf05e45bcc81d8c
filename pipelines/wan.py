"""Wan2.2 text-to-video, equal to diffusers' `WanPipeline`, and what the other Wan models share with it."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer

from pipelines.condition_cache import ConditionCache
from pipelines.conditions import TextConditions
from pipelines.denoise import AfterStep, denoise
from pipelines.frames import Float32
from pipelines.guidance import classifier_free
from pipelines.lora.adapters import Adapters
from pipelines.noise import draw_noise
from pipelines.runner import Evaluate, ModelRunner, Shared
from pipelines.schedulers import make_scheduler, read_config
from pipelines.text_encoder import encode_prompt
from pipelines.token_encoder import TokenEncoder
from pipelines.vae_decoder import decode
from protocol.model_card import ModelCard
from protocol.sampling import WanSpec


@dataclass(frozen=True)
class Expert:
    """A transformer, the guidance that it samples with, and its adapters."""

    model: str
    guidance_scale: float
    adapters: Shared


@dataclass(frozen=True)
class ModelInput:
    """What the transformer sees of one step."""

    hidden_states: torch.Tensor
    """float32 [1, channels, frames, height, width]"""
    timestep: torch.Tensor
    """float32 [1], or [1, tokens] where each token has its own"""


class WanTextToVideo:
    """The sampling code of one checkpoint; holds no state of any job.

    Args:
        folder: what `export` wrote for the checkpoint: `card.json`, `tokenizer/`, `scheduler/`.
        runner: runs the checkpoint's models.
        evaluate: runs its transformers.
        adapters: the LoRA adapters that its transformers can have.
        cache: what was encoded before.
    """

    def __init__(
        self, folder: Path, runner: ModelRunner, evaluate: Evaluate, adapters: Adapters, cache: ConditionCache
    ) -> None:
        self.card = ModelCard.read(folder)
        self._tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self._scheduler_config = read_config(folder / "scheduler")
        self._runner = runner
        self._evaluate = evaluate
        self._adapters = adapters
        self._cache = cache
        self._text_encoder = TokenEncoder(self.card.components.text_encoder, "last_hidden_state", runner, cache)

    async def encode_text(self, params: WanSpec) -> TextConditions:
        """Encode the prompt and, where sampling is guided, the negative prompt."""
        prompt = await self._encode_prompt(params.prompt)
        guided = params.guidance_scale > 1  # diffusers lets the first guidance alone decide
        return TextConditions(prompt, await self._encode_prompt(params.negative_prompt) if guided else None)

    async def encode_image(self, params: WanSpec) -> torch.Tensor | None:
        """What the image that the clip starts from adds to the model's input; None for a text alone."""
        return None

    async def sample(
        self, params: WanSpec, text: TextConditions, image: torch.Tensor | None, after_step: AfterStep
    ) -> torch.Tensor:
        """Draw noise from the seed and denoise it.

        Returns:
            float32 latents [1, channels, frames, height, width].
        """
        scheduler = make_scheduler(self._scheduler_config, params.solver, params.flow_shift, params.num_inference_steps)
        expert_at = self._experts(params)

        async def velocity(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            seen = self._model_input(latents, timestep, image)
            return await self._velocity(seen, text, expert_at(float(timestep)))

        return self._finish(await denoise(draw_noise(params, self.card), scheduler, velocity, after_step), image)

    def decode(self, latents: torch.Tensor) -> AsyncGenerator[Float32]:
        """Pixel frames of the latents, float32 [n, height, width, 3] in 0..1, as they are decoded."""
        return decode(latents, self.card.latents, self._runner, self.card.components.vae)

    def _model_input(self, latents: torch.Tensor, timestep: torch.Tensor, image: torch.Tensor | None) -> ModelInput:
        return ModelInput(latents, timestep.expand(1))

    def _finish(self, latents: torch.Tensor, image: torch.Tensor | None) -> torch.Tensor:
        return latents

    async def _encode_prompt(self, prompt: str) -> Float32:
        return await encode_prompt(prompt, self._tokenizer, self._text_encoder, self.card.max_sequence_length)

    def _experts(self, params: WanSpec) -> Callable[[float], Expert]:
        """High noise runs `transformer`; below the boundary `transformer_2` takes over."""
        components = self.card.components
        high = Expert(components.transformer, params.guidance_scale, self._adapters.shared(params.lora, "transformer"))
        if components.transformer_2 is None or params.boundary_ratio is None or params.guidance_scale_2 is None:
            return lambda timestep: high
        low = Expert(
            components.transformer_2, params.guidance_scale_2, self._adapters.shared(params.lora, "transformer_2")
        )
        boundary = params.boundary_ratio * self.card.num_train_timesteps
        return lambda timestep: high if timestep >= boundary else low

    async def _velocity(self, seen: ModelInput, text: TextConditions, expert: Expert) -> torch.Tensor:
        """The transformer's prediction, both guidance branches in one evaluation."""
        texts = [text.prompt]
        if text.negative is not None and expert.guidance_scale != 1:
            texts.append(text.negative)
        rows = {
            "hidden_states": seen.hidden_states.numpy().repeat(len(texts), axis=0),
            "timestep": seen.timestep.float().numpy().repeat(len(texts), axis=0),
            "encoder_hidden_states": np.concatenate(texts),
        }
        output = torch.from_numpy(await self._evaluate(expert.model, rows, expert.adapters))
        return output if len(texts) == 1 else classifier_free(output[:1], output[1:], expert.guidance_scale)
