"""UMT5's encoder: its graph, and the comparison with transformers' module."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from export.family import Comparison
from export.graph import Graph, Session
from export.load import load_transformers
from export.options import Form, Precision
from export.text_encoder import compare_states, text_graphs


def load(folder: Path, precision: Precision = Precision.FLOAT32) -> nn.Module:
    from transformers import UMT5EncoderModel

    return load_transformers(UMT5EncoderModel, folder, precision)


class ExportableEncoder(nn.Module):
    """The encoder with tensors in and a tensor out."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [batch, tokens], both -> float32 [batch, tokens, text_dim]"""
        states: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states.float()


def graphs(encoder: Any, form: Form = Form()) -> list[Graph]:  # noqa: B008 - frozen
    return text_graphs(ExportableEncoder(encoder), encoder.config.vocab_size, "last_hidden_state")


def compare(encoder: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    def encode(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states: Tensor = encoder(input_ids, attention_mask).last_hidden_state
        return states

    return compare_states(encode, encoder.config.vocab_size, sessions)
