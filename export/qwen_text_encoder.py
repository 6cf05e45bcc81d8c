"""Qwen2.5-VL's language model, which Qwen-Image encodes prompts with: its graph, and the comparison.

The vision tower and the language head are left out: pictures are made from a text alone, and it is the states before
the head that the transformer takes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.family import Comparison
from export.graph import Graph, Session
from export.load import load_transformers

_FILE = "model.onnx"


def load(folder: Path) -> nn.Module:
    from transformers import Qwen2_5_VLForConditionalGeneration

    return load_transformers(Qwen2_5_VLForConditionalGeneration, folder)


class ExportableLanguageModel(nn.Module):
    """A Qwen2_5_VLTextModel with tensors in and a tensor out."""

    def __init__(self, language_model: Any) -> None:
        super().__init__()
        self.language_model = language_model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [batch, tokens], both -> float32 [batch, tokens, text_dim], after the last norm"""
        states: Tensor = self.language_model(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        return states


def graphs(encoder: Any) -> list[Graph]:
    sizes = {0: "batch", 1: "tokens"}
    return [
        Graph(
            file=_FILE,
            module=ExportableLanguageModel(encoder.model.language_model),
            example=_prompts(encoder, torch.Generator().manual_seed(0), batch=2, tokens=24),
            dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
            inputs=["input_ids", "attention_mask"],
            outputs=["hidden_states"],
        )
    ]


def compare(encoder: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    """What QwenImagePipeline takes: the last of the whole model's hidden states."""
    generator = torch.Generator().manual_seed(1)
    for batch, tokens in ((1, 1), (1, 39), (3, 64), (1, 512)):
        input_ids, attention_mask = _prompts(encoder, generator, batch, tokens)
        with torch.no_grad():
            expected = encoder(
                input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True
            ).hidden_states[-1]
        (states,) = sessions[_FILE].run(input_ids.numpy(), attention_mask.numpy())
        yield Comparison(f"{batch} x {tokens} tokens", float(np.abs(states - expected.numpy()).max()))


def _prompts(encoder: Any, generator: torch.Generator, batch: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Random ids, and a mask that leaves three tokens more of each prompt out."""
    vocabulary = encoder.config.text_config.vocab_size
    input_ids = torch.randint(vocabulary, (batch, tokens), generator=generator)
    lengths = torch.tensor([max(1, tokens - 3 * row) for row in range(batch)])
    return input_ids, (torch.arange(tokens)[None] < lengths[:, None]).long()
