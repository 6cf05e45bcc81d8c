"""The export of one checkpoint in this process, whose errors are raised."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from export.checkpoint import Checkpoint, open_checkpoint
from export.component import Exported
from export.defaults import OwnDefaults
from export.disk import DiskUse
from export.errors import ExportError
from export.exporter import export_checkpoints, run_in_this_process
from export.family import Comparison, Family, Part
from export.graph import Graph, Session
from export.options import Form, Options
from export.text_encoder import compare_states, text_graphs
from export.wan_t2v import WAN_T2V
from protocol.model_card import ModelCard

(_TEXT_ENCODER,) = [part for part in WAN_T2V.parts if part.component == "text_encoder"]


class _Raising:
    """A `Listener`."""

    def __init__(self, on_stage: Callable[[str], None]) -> None:
        self.stage = on_stage
        self.results: list[Exported] = []

    def disk(self, use: DiskUse) -> None:
        pass

    def planned(self, folder: Path, card: ModelCard) -> None:
        pass

    def exported(self, folder: Path, exported: Exported) -> None:
        self.results.append(exported)

    def published(self, folder: Path, results: Sequence[Exported], seconds: float) -> None:
        assert sorted(results, key=_model) == sorted(self.results, key=_model)

    def failed(self, folder: Path, error: ExportError) -> None:
        raise error


def _model(exported: Exported) -> str:
    return exported.model


def export_one(
    folder: Path,
    family: Family,
    repository: Path,
    options: Options,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> list[Exported]:
    """What became of its components, in the order in which they were done."""
    listener = _Raising(on_stage)
    export_checkpoints([(folder, lambda _: family)], repository, options, run_in_this_process, listener)
    return listener.results


class _Embedding(nn.Module):
    """What UMT5's encoder does first: int64 [batch, tokens], both -> float32 [batch, tokens, text_dim]."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.tokens = encoder.shared

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        embedded: Tensor = (self.tokens(input_ids) * attention_mask[..., None]).float()
        return embedded


def embedding_graphs(encoder: Any, form: Form = Form()) -> list[Graph]:  # noqa: B008 - frozen
    """In place of the graphs of the whole encoder."""
    return text_graphs(_Embedding(encoder), encoder.config.vocab_size, "last_hidden_state")


def _compare_embeddings(encoder: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    return compare_states(_Embedding(encoder), encoder.config.vocab_size, sessions)


def of_embedding(tiny_checkpoint: Path, **changes: Any) -> Family:
    """The family with nothing but its text encoder, of which no more is exported than is done in a second."""
    graphs = {"graphs": embedding_graphs, "compare": _compare_embeddings}
    return of_text_encoder(tiny_checkpoint, **(graphs | changes))


def of_text_encoder(tiny_checkpoint: Path, **changes: Any) -> Family:
    """The family with nothing but its text encoder."""
    card = WAN_T2V.card(open_checkpoint(tiny_checkpoint, WAN_T2V.layout), OwnDefaults.model_validate({}))

    def card_with_id(checkpoint: Checkpoint, own: OwnDefaults) -> ModelCard:
        return card.model_copy(update={"id": own.id})

    part: Part = dataclasses.replace(_TEXT_ENCODER, **changes)
    return dataclasses.replace(WAN_T2V, parts=(part,), card=card_with_id)
