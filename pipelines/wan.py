"""Wan2.2, with and without an image, equal to diffusers' `WanPipeline` and `WanImageToVideoPipeline`."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from pipelines.condition_cache import ConditionCache
from pipelines.conditions import TextConditions
from pipelines.denoise import AfterStep, denoise
from pipelines.guidance import Guidance
from pipelines.lora.adapters import Adapters
from pipelines.noise import draw_noise
from pipelines.prompt_warnings import cut_off, is_own, without_effect
from pipelines.runner import Evaluate, ModelRunner, Shared
from pipelines.schedulers import make_scheduler, read_config
from pipelines.solver_state import SolverState
from pipelines.text_encoder import encode_prompt, fit_prompt
from pipelines.token_encoder import TokenEncoder
from pipelines.tokenizer import TOKENIZER_FILE, Tokenizer
from pipelines.vae_decoder import decode
from pipelines.wan_conditioning import Conditioning, ImageEncoder, ModelInput
from protocol.model_card import ModelCard
from protocol.sampling import WanSpec


@dataclass(frozen=True)
class Expert:
    """A transformer, how it is guided, and its adapters."""

    model: str
    guidance: Guidance
    adapters: Shared


class Wan:
    """The sampling code of one checkpoint; holds no state of any job.

    Args:
        condition: makes what the transformers see of an image; which of them depends on the kind of model.
        folder: what `export` wrote for the checkpoint: `card.json`, `tokenizer.json`, `scheduler/`.
        runner: runs the checkpoint's models.
        evaluate: runs its transformers.
        adapters: the LoRA adapters that its transformers can have.
        cache: what was encoded before.
        device: where latents are, from the noise to the VAE.
    """

    def __init__(
        self,
        condition: Callable[[ImageEncoder], Conditioning],
        folder: Path,
        runner: ModelRunner,
        evaluate: Evaluate,
        adapters: Adapters,
        cache: ConditionCache,
        device: torch.device,
    ) -> None:
        self.card = ModelCard.read(folder)
        self._tokenizer = Tokenizer(folder / TOKENIZER_FILE)
        self._scheduler_config = read_config(folder / "scheduler")
        self._runner = runner
        self._evaluate = evaluate
        self._adapters = adapters
        self._device = device
        self._conditioning = condition(ImageEncoder(self.card, runner, cache, device))
        self._text_encoder = TokenEncoder(self.card.components.text_encoder, "last_hidden_state", runner, cache)

    async def encode_text(self, params: WanSpec) -> TextConditions:
        """Encode the prompt and, where sampling is guided, the negative prompt."""
        prompt = await self._encode_prompt(params.prompt)
        negative = await self._encode_prompt(params.negative_prompt) if _is_guided(params) else None
        return TextConditions(prompt, negative, self._text_warnings(params))

    async def encode_image(self, params: WanSpec) -> torch.Tensor | None:
        """The image that the video starts from, as the conditioning takes it; None for a text alone."""
        return await self._conditioning.encode_image(params)

    async def sample(
        self,
        params: WanSpec,
        text: TextConditions,
        image: torch.Tensor | None,
        after_step: AfterStep,
        resume: SolverState | None = None,
    ) -> torch.Tensor:
        """Draw noise from the seed and denoise it.

        Args:
            after_step, resume: see `denoise`.

        Returns:
            float32 latents [1, channels, frames, height, width], on the device.
        """
        scheduler = make_scheduler(self._scheduler_config, params.solver, params.flow_shift, params.num_inference_steps)
        expert_at = self._experts(params)
        text = text.to(self._device)

        async def velocity(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            seen = self._conditioning.model_input(latents, timestep, image)
            return await self._velocity(seen, text, expert_at(float(timestep)))

        def finish(latents: torch.Tensor) -> torch.Tensor:
            return self._conditioning.finish(latents, image)

        noise = draw_noise(params, self.card, self._device)
        return await denoise(noise, scheduler, velocity, finish, after_step, resume)

    def decode(self, latents: torch.Tensor) -> AsyncGenerator[torch.Tensor]:
        """Pixel frames of the latents, float32 [n, height, width, 3] in 0..1, as they are decoded."""
        return decode(latents, self.card.latents, self._runner, self.card.components.vae)

    async def _encode_prompt(self, prompt: str) -> torch.Tensor:
        return await encode_prompt(prompt, self._tokenizer, self._text_encoder, self.card.max_sequence_length)

    def _text_warnings(self, params: WanSpec) -> tuple[str, ...]:
        warnings = self._cut_off("prompt", params.prompt)
        negative = params.negative_prompt
        if not _is_guided(params):
            scale = f"guidance_scale is {params.guidance_scale:g}, and guides above 1"
            return warnings + without_effect(negative, self.card, f"as {scale}")
        if self._has_two_experts(params) and params.guidance_scale_2 == 1:
            warnings += without_effect(negative, self.card, "on the low-noise expert, as guidance_scale_2 is 1")
        return warnings + (self._cut_off("negative_prompt", negative) if is_own(negative, self.card) else ())

    def _cut_off(self, field: str, prompt: str) -> tuple[str, ...]:
        fit = fit_prompt(prompt, self._tokenizer, self.card.max_sequence_length)
        return cut_off(field, fit, self.card)

    def _has_two_experts(self, params: WanSpec) -> bool:
        second = (self.card.components.transformer_2, params.boundary_ratio, params.guidance_scale_2)
        return None not in second

    def _experts(self, params: WanSpec) -> Callable[[float], Expert]:
        """High noise runs `transformer`; below the boundary `transformer_2` takes over."""
        components = self.card.components
        high = self._expert(components.transformer, params.guidance_scale, params, "transformer")
        if components.transformer_2 is None or params.boundary_ratio is None or params.guidance_scale_2 is None:
            return lambda timestep: high
        low = self._expert(components.transformer_2, params.guidance_scale_2, params, "transformer_2")
        boundary = params.boundary_ratio * self.card.num_train_timesteps
        return lambda timestep: high if timestep >= boundary else low

    def _expert(self, model: str, guidance_scale: float, params: WanSpec, component: str) -> Expert:
        return Expert(
            model,
            Guidance(guidance_scale, rescale=params.guidance_rescale),
            self._adapters.shared(params.lora, component),
        )

    async def _velocity(self, seen: ModelInput, text: TextConditions, expert: Expert) -> torch.Tensor:
        """The transformer's prediction, both guidance branches in one evaluation."""
        prompts = torch.cat(expert.guidance.branches(text))
        rows = {
            "hidden_states": seen.hidden_states.expand(len(prompts), -1, -1, -1, -1),
            "timestep": seen.timestep.float().expand(len(prompts), *seen.timestep.shape[1:]),
            "encoder_hidden_states": prompts,
        }
        predictions = await self._evaluate(expert.model, rows, expert.adapters)
        return expert.guidance.combine(predictions.to(self._device))


def _is_guided(params: WanSpec) -> bool:
    """diffusers lets the first guidance alone decide."""
    return Guidance(params.guidance_scale).needs_negative
