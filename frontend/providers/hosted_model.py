"""What a model of a hosted provider takes, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

Operation = Literal["text-to-video", "image-to-video", "video-to-video", "video-extension"]
Option = Literal["negative_prompt", "seed", "generate_audio", "enhance_prompt"]

LANDSCAPE, PORTRAIT, SQUARE = "16:9", "9:16", "1:1"


@dataclass(frozen=True)
class Price:
    """US dollars per second of video, by resolution; the same for all where there is one."""

    per_second: Mapping[str, Decimal]
    audio_factor: Decimal = Decimal(1)
    """times as much where audio is asked for"""

    @classmethod
    def flat(cls, dollars: str, *, audio_factor: int = 1) -> "Price":
        return cls({"": Decimal(dollars)}, Decimal(audio_factor))

    @classmethod
    def by_resolution(cls, **dollars: str) -> "Price":
        """With a letter before the number, which Python's names cannot begin with: `p720="0.40"`."""
        return cls({f"{name[1:]}{name[0]}": Decimal(value) for name, value in dollars.items()})

    def of(self, seconds: float, resolution: str, *, audio: bool = False) -> Decimal:
        """Of a video. Raises KeyError for a resolution that has no price."""
        rate = self.per_second[""] if "" in self.per_second else self.per_second[resolution]
        return rate * Decimal(str(seconds)) * (self.audio_factor if audio else 1)


@dataclass(frozen=True)
class HostedModel:
    """A model of a provider, as this server offers it."""

    id: str
    """what clients call it"""
    provider: str
    paths: Mapping[Operation, str]
    """what the provider calls it, for each thing that it does"""
    durations: tuple[int, ...]
    """seconds, ascending; the first is the default where `default_duration` names no other"""
    resolutions: tuple[str, ...]
    """ascending, such as 480p; the last is the default where `default_resolution` names no other"""
    aspect_ratios: tuple[str, ...]
    """the first is the default; none where a video has that of what it starts from"""
    price: Price
    options: frozenset[Option] = frozenset()
    """what else of a request it heeds"""
    longest_prompt: int = 10_000
    """characters"""
    aliases: tuple[str, ...] = field(default=())
    """other names that clients know"""
    otherwise: Mapping[Operation, Mapping[str, Any]] = field(default_factory=dict)
    """the fields above that are others for an operation, by name"""
    default_duration: int | None = None
    default_resolution: str | None = None
    durations_at: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """seconds, at the resolutions that have others"""
    stops: bool = True
    """whether its provider ends a job when it is told to"""
    sizes: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """width and height in pixels of a resolution and an aspect ratio, where they are not the usual ones"""

    def can(self, operation: Operation) -> bool:
        return operation in self.paths

    def offer(self, operation: Operation) -> "HostedModel":
        """What it offers for that."""
        return replace(self, **self.otherwise.get(operation, {}))
