"""Qwen-Image text-to-image, equal to diffusers' `QwenImagePipeline`."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from pipelines.condition_cache import ConditionCache
from pipelines.conditions import TextConditions
from pipelines.denoise import AfterStep, denoise
from pipelines.guidance import Guidance
from pipelines.lora.adapters import Adapters
from pipelines.noise import draw_noise
from pipelines.prompt_warnings import cut_off, is_own, without_effect
from pipelines.qwen_rope import RopeTables
from pipelines.qwen_text import count_system_tokens, encode_prompt, fit_prompt
from pipelines.runner import Evaluate, ModelRunner, Shared, Tensors
from pipelines.schedulers import make_dynamic_scheduler, read_config
from pipelines.solver_state import SolverState
from pipelines.token_encoder import TokenEncoder
from pipelines.tokenizer import TOKENIZER_FILE, Tokenizer
from pipelines.vae_decoder import decode_image
from protocol.model_card import ModelCard
from protocol.sampling import QwenImageSpec

TEXT_TOKENS_MULTIPLE = 64
"""prompts are padded to a multiple of this number of tokens, so that those of different lengths share calls"""


class QwenImage:
    """The sampling code of one checkpoint; holds no state of any job.

    Args:
        folder: what `export` wrote for the checkpoint: `card.json`, `tokenizer.json`, `scheduler/`.
        runner: runs the checkpoint's models.
        evaluate: runs its transformer.
        adapters: the LoRA adapters that its transformer can have.
        cache: what was encoded before.
        device: where latents are, from the noise to the VAE.
    """

    def __init__(
        self,
        folder: Path,
        runner: ModelRunner,
        evaluate: Evaluate,
        adapters: Adapters,
        cache: ConditionCache,
        device: torch.device,
    ) -> None:
        self.card = ModelCard.read(folder)
        assert self.card.rope is not None
        self._device = device
        self._rope = RopeTables(self.card.rope, device)
        self._tokenizer = Tokenizer(folder / TOKENIZER_FILE)
        self._system_tokens = count_system_tokens(self._tokenizer)
        self._scheduler_config = read_config(folder / "scheduler")
        self._runner = runner
        self._evaluate = evaluate
        self._adapters = adapters
        self._text_encoder = TokenEncoder(self.card.components.text_encoder, "hidden_states", runner, cache)

    async def encode_text(self, params: QwenImageSpec) -> TextConditions:
        """Encode the prompt and, where sampling is guided, the negative prompt."""
        prompt = await self._encode_prompt(params.prompt)
        guided = _guidance(params).needs_negative
        negative = await self._encode_prompt(params.negative_prompt) if guided else None
        return TextConditions(prompt, negative, self._text_warnings(params))

    async def encode_image(self, params: QwenImageSpec) -> torch.Tensor | None:
        """Nothing: images are made from a text alone."""
        return None

    async def sample(
        self,
        params: QwenImageSpec,
        text: TextConditions,
        image: torch.Tensor | None,
        after_step: AfterStep,
        resume: SolverState | None = None,
    ) -> torch.Tensor:
        """Draw noise from the seed and denoise it.

        Args:
            after_step, resume: see `denoise`; the latents of their states are packed.

        Returns:
            float32 latents [1, channels, 1, height, width], on the device.
        """
        noise = draw_noise(params, self.card, self._device)
        height, width = noise.shape[-2:]
        latents = pack(noise)
        scheduler = make_dynamic_scheduler(self._scheduler_config, latents.shape[1], params.num_inference_steps)
        guidance = _guidance(params)
        rows = _text_rows(guidance.branches(text.to(self._device)))
        tables = self._rope.of(height // 2, width // 2, rows["encoder_hidden_states"].shape[1])
        shared = tables | self._adapters.shared(params.lora, "transformer")

        async def velocity(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            return guidance.combine(await self._velocities(latents, timestep, rows, shared))

        finish = partial(unpack, height=height, width=width)
        return await denoise(latents, scheduler, velocity, finish, after_step, resume)

    async def decode(self, latents: torch.Tensor) -> AsyncGenerator[torch.Tensor]:
        """The image, float32 [1, height, width, 3] in 0..1."""
        yield await decode_image(latents, self.card.latents, self._runner, self.card.components.vae)

    async def _encode_prompt(self, prompt: str) -> torch.Tensor:
        return await encode_prompt(
            prompt, self._tokenizer, self._system_tokens, self._text_encoder, self.card.max_sequence_length
        )

    def _text_warnings(self, params: QwenImageSpec) -> tuple[str, ...]:
        warnings = self._cut_off("prompt", params.prompt)
        negative = params.negative_prompt
        if not _guidance(params).needs_negative:
            scale = f"true_cfg_scale is {params.cfg_scale:g}, and guides above 1"
            return warnings + without_effect(negative, self.card, f"as {scale}")
        return warnings + (self._cut_off("negative_prompt", negative) if is_own(negative, self.card) else ())

    def _cut_off(self, field: str, prompt: str) -> tuple[str, ...]:
        fit = fit_prompt(prompt, self._tokenizer, self._system_tokens, self.card.max_sequence_length)
        return cut_off(field, fit, self.card)

    async def _velocities(
        self, latents: torch.Tensor, timestep: torch.Tensor, text: Tensors, shared: Shared
    ) -> torch.Tensor:
        """The transformer's predictions, [branches, tokens, channels], in one evaluation."""
        branches = len(text["encoder_hidden_states"])
        rows = {
            "hidden_states": latents.expand(branches, -1, -1),
            "timestep": timestep.to(latents.device).expand(branches) / 1000,
            **text,
        }
        predictions = await self._evaluate(self.card.components.transformer, rows, shared)
        return predictions.to(self._device)


def pack(latents: torch.Tensor) -> torch.Tensor:
    """[batch, channels, 1, height, width] -> [batch, height/2 * width/2, channels * 4]: each token is a 2x2 patch."""
    batch, channels, _, height, width = latents.shape
    patches = latents.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(batch, height // 2 * (width // 2), channels * 4)


def unpack(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The inverse of `pack`."""
    batch, _, features = tokens.shape
    patches = tokens.reshape(batch, height // 2, width // 2, features // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(batch, features // 4, 1, height, width)


def _guidance(params: QwenImageSpec) -> Guidance:
    return Guidance(params.cfg_scale, "norm_preserving", params.guidance_rescale)


def _text_rows(prompts: Sequence[torch.Tensor]) -> Tensors:
    """The prompts as rows of equal length, and a mask: 1 for a token, 0 for padding."""
    lengths = [prompt.shape[1] for prompt in prompts]
    tokens = -(-max(lengths) // TEXT_TOKENS_MULTIPLE) * TEXT_TOKENS_MULTIPLE
    padded = [F.pad(prompt, (0, 0, 0, tokens - prompt.shape[1])) for prompt in prompts]
    device = padded[0].device
    mask = torch.arange(tokens, device=device) < torch.tensor(lengths, device=device)[:, None]
    return {"encoder_hidden_states": torch.cat(padded), "encoder_hidden_states_mask": mask.to(padded[0])}
