"""Qwen2.5-VL's language model, which Qwen-Image encodes prompts with: its graph, and the comparison.

The vision tower and the language head are left out: images are made from a text alone, and it is the states before
the head that the transformer takes.
"""

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
    from transformers import Qwen2_5_VLForConditionalGeneration

    return load_transformers(Qwen2_5_VLForConditionalGeneration, folder, precision)


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
        return states.float()


def graphs(encoder: Any, form: Form = Form()) -> list[Graph]:  # noqa: B008 - frozen
    module = ExportableLanguageModel(encoder.model.language_model)
    return text_graphs(module, encoder.config.text_config.vocab_size, "hidden_states")


def compare(encoder: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    """With what QwenImagePipeline takes: the last of the whole model's hidden states."""

    def encode(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states: Tensor = encoder(input_ids, attention_mask, output_hidden_states=True).hidden_states[-1]
        return states

    return compare_states(encode, encoder.config.text_config.vocab_size, sessions)
