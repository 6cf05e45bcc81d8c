"""What TensorRT engines leave of what a checkpoint can do: they take the sizes only that they were built for.

It is told before a job begins, by the limits of the card, and for adapters by `pipelines.lora.adapters`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from protocol.model_card import Extent, ModelCard
from runtime.engine_plan import RANK, EnginePlans
from runtime.model_config import engines_in_use

_TRANSFORMERS = ("transformer", "transformer_2")
_SIDES = ("height", "width", "latent_height", "latent_width")
"""sizes of graphs, in latents"""
_TEXT = ("tokens", "text_tokens")


@dataclass(frozen=True)
class EngineLimits:
    """Of one checkpoint."""

    plans: Mapping[str, EnginePlans] = field(default_factory=dict)
    """of the models that run on TensorRT, by component"""

    @classmethod
    def here(cls, repository: Path, card: ModelCard) -> "EngineLimits":
        """On this machine, with what the operator asks for.

        Raises:
            OSError, ValueError: the configuration of a model cannot be read.
        """
        plans = {}
        for component, model in card.components.model_dump(exclude_none=True).items():
            if (found := engines_in_use(repository / model)) is not None:
                plans[component] = found
        return cls(plans)

    def narrow(self, card: ModelCard) -> ModelCard:
        """The card, with limits that the engines keep to.

        Raises:
            ValueError: they were built for prompts of another length.
        """
        self._check_text(card)
        narrower = {name: most for name, most in self._extents(card).items() if most < getattr(card.limits, name)}
        limits = card.limits.model_copy(update=dict(narrower) | {"of_engines": tuple(narrower)})
        return card.model_copy(update={"limits": limits})

    @property
    def adapter_ranks(self) -> dict[str, int]:
        """By transformer: the rank of all adapters of a request together, at most. Those that are not here take any."""
        return dict(self._of_transformers(RANK))

    @property
    def streaming(self) -> set[str]:
        """Components whose weights need not all be on the GPU."""
        return {component for component, plans in self.plans.items() if plans.streams_weights}

    @property
    def rows(self) -> dict[str, int]:
        """By transformer: rows of a call at most."""
        return dict(self._of_transformers("batch"))

    def _of_transformers(self, size: str) -> Iterator[tuple[str, int]]:
        for component in _TRANSFORMERS:
            if component in self.plans and (found := self.plans[component].range(size)) is not None:
                yield component, found[1]

    def _extents(self, card: ModelCard) -> dict[Extent, int]:
        space = card.latents
        extents: dict[Extent, int] = {}
        if sides := self._most(*_SIDES):
            extents["max_side"] = min(sides) * space.spatial_stride
        if frames := self._most("frames"):
            extents["max_frames"] = (min(frames) - 1) * space.temporal_stride + 1
        if tokens := self._most("image_tokens"):  # of models that make images
            extents["max_pixel_frames"] = min(tokens) * card.limits.size_multiple**2
        return extents

    def _most(self, *sizes: str) -> list[int]:
        ranges = (plans.range(size) for plans in self.plans.values() for size in sizes)
        return [found[1] for found in ranges if found is not None]

    def _check_text(self, card: ModelCard) -> None:
        """Prompts are cut off at the card's length, and Wan's are filled up to it."""
        for component, plans in self.plans.items():
            for found in filter(None, map(plans.range, _TEXT)):
                if not found[0] <= card.max_sequence_length <= found[1]:
                    raise ValueError(
                        f"the TensorRT engines of the {component} were built for prompts of {found[0]} to {found[1]} "
                        f"tokens, and those of {card.id} have {card.max_sequence_length}: build them again with "
                        "`python -m export.engines`"
                    )
