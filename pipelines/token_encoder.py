"""Calls a text encoder, once for equal tokens."""

import torch

from pipelines.condition_cache import ConditionCache, fingerprint
from pipelines.runner import ModelRunner, Tensors
from protocol.errors import ModelFailed


class TokenEncoder:
    """A text encoder behind the cache of conditions.

    Args:
        model: its name.
        output: name of its output.
        runner: runs it.
        cache: holds its results, by the tokens: prompts that tokenize alike are equal.
    """

    def __init__(self, model: str, output: str, runner: ModelRunner, cache: ConditionCache) -> None:
        self._model = model
        self._output = output
        self._runner = runner
        self._cache = cache

    async def encode(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Encode the tokens of one prompt.

        Args:
            input_ids: int64 [1, tokens].

        Returns:
            [1, tokens, text_dim]; read-only.

        Raises:
            ModelFailed: the encoder could not be run, or did not answer for each token.
        """
        inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
        return await self._cache.get(self._model, fingerprint(inputs), lambda: self._call(inputs))

    async def _call(self, inputs: Tensors) -> torch.Tensor:
        states = await self._runner.infer(self._model, inputs, self._output)
        input_ids = inputs["input_ids"]
        if states.ndim != 3 or states.shape[:2] != input_ids.shape:
            raise ModelFailed(f"{self._model} answered {tuple(states.shape)} for tokens {tuple(input_ids.shape)}")
        return states
