"""UMT5's encoder: its graph, and the comparison with transformers' module."""

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
    from transformers import UMT5EncoderModel

    return load_transformers(UMT5EncoderModel, folder)


class ExportableEncoder(nn.Module):
    """The encoder with tensors in and a tensor out."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [batch, tokens], both -> float32 [batch, tokens, text_dim]"""
        states: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states


def graphs(encoder: Any) -> list[Graph]:
    sizes = {0: "batch", 1: "tokens"}
    return [
        Graph(
            file=_FILE,
            module=ExportableEncoder(encoder),
            example=_prompts(encoder, torch.Generator().manual_seed(0), batch=2, tokens=24),
            dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
            inputs=["input_ids", "attention_mask"],
            outputs=["last_hidden_state"],
        )
    ]


def compare(encoder: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    generator = torch.Generator().manual_seed(1)
    for batch, tokens in ((1, 1), (1, 9), (3, 64), (1, 512)):
        prompts = _prompts(encoder, generator, batch, tokens)
        with torch.no_grad():
            expected = encoder(*prompts).last_hidden_state.numpy()
        (states,) = sessions[_FILE].run(*(tensor.numpy() for tensor in prompts))
        yield Comparison(f"{batch} x {tokens} tokens", float(np.abs(states - expected).max()))


def _prompts(encoder: Any, generator: torch.Generator, batch: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Random ids, and a mask that leaves three tokens more of each prompt out."""
    input_ids = torch.randint(encoder.config.vocab_size, (batch, tokens), generator=generator)
    lengths = torch.tensor([max(1, tokens - 3 * row) for row in range(batch)])
    return input_ids, (torch.arange(tokens)[None] < lengths[:, None]).long()
