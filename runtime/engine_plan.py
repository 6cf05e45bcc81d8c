"""Which TensorRT engines a version folder holds, `plan.json`: for what they were built, and for which sizes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.lora.targets import DOWN, UP
from runtime.engine import PLAN_FILE, EngineUnusable

RANK = "rank"
"""among the sizes of a profile: of all adapters of a call together"""
CURRENT = "current"
"""the GPU of the machine that built an engine"""

Shape = tuple[int, ...]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineProfile(_Frozen):
    """Sizes that an engine takes."""

    name: str
    least: Mapping[str, Shape]
    """input -> its smallest shape; inputs whose shape never varies are left out"""
    most: Mapping[str, Shape]
    sizes: Mapping[str, tuple[int, int]] = {}
    """least and most of each size, as the graph's inputs name it, and of `RANK`. Empty in plans of before it was
    written"""

    def takes(self, shapes: Mapping[str, Shape]) -> bool:
        """Whether inputs of these shapes fit."""
        return all(
            len(shapes[name]) == len(least)
            and all(low <= size <= high for low, size, high in zip(least, shapes[name], self.most[name], strict=True))
            for name, least in self.least.items()
            if name in shapes
        )

    @property
    def width(self) -> int:
        """How many sizes more than one it takes, all axes together: 0 where everything is fixed."""
        return sum(
            high - low for name, least in self.least.items() for low, high in zip(least, self.most[name], strict=True)
        )


class EnginePlan(_Frozen):
    """One engine file."""

    graph: str
    """the ONNX file that it was built from"""
    fingerprint: str
    """SHA-256 of that file, and of its external weights' names and sizes"""
    engine: str
    """the file"""
    profiles: tuple[EngineProfile, ...]

    def range(self, size: str) -> tuple[int, int] | None:
        """Least and most of a size over all profiles, of which the wide one has both; None where none has it."""
        found = [profile.sizes[size] for profile in self.profiles if size in profile.sizes]
        return (min(least for least, _ in found), max(most for _, most in found)) if found else None

    def choose(self, shapes: Mapping[str, Shape]) -> int:
        """Number of the narrowest profile that takes inputs of these shapes: the fastest.

        Raises:
            EngineUnusable: there is none, with what there is.
        """
        fitting = [number for number, profile in enumerate(self.profiles) if profile.takes(shapes)]
        if not fitting:
            asked = ", ".join(_described(shapes))
            names = "; ".join(profile.name for profile in self.profiles)
            raise EngineUnusable(f"{self.engine} was not built for {asked}; it was for: {names}")
        return min(fitting, key=lambda number: self.profiles[number].width)


class EnginePlans(_Frozen):
    """`plan.json`."""

    library: str
    """`tensorrt` or `tensorrt-rtx`"""
    version: str
    capabilities: tuple[str, ...]
    """compute capabilities of the GPUs that it was built for, such as "8.9"; or `CURRENT`, which the library checks"""
    streams_weights: bool = False
    engines: tuple[EnginePlan, ...]

    @classmethod
    def read(cls, folder: Path) -> "EnginePlans":
        """Raises EngineUnusable: there is none that can be read."""
        try:
            return cls.model_validate_json((folder / PLAN_FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise EngineUnusable(
                f"{folder / PLAN_FILE} cannot be read: build the engines with `python -m export.engines` ({error})"
            ) from None

    def range(self, size: str) -> tuple[int, int] | None:
        """Least and most of a size that every engine takes which has it; None where none has."""
        found = [one for one in (engine.range(size) for engine in self.engines) if one is not None]
        return (max(least for least, _ in found), min(most for _, most in found)) if found else None

    def write(self, folder: Path) -> None:
        (folder / PLAN_FILE).write_text(self.model_dump_json(indent=2) + "\n")

    def check(self, library: str, version: str, capability: str) -> None:
        """Whether these engines run there.

        Raises:
            EngineUnusable: saying what they were built for, and what is there.
        """
        if (self.library, self.version) != (library, version):
            raise EngineUnusable(
                f"the engines were built with {self.library} {self.version}, and this is {library} {version}: "
                "build them again with `python -m export.engines`"
            )
        if capability not in self.capabilities and self.capabilities != (CURRENT,):
            raise EngineUnusable(
                f"the engines were built for GPUs of compute capability {_listed(self.capabilities)}, and this one has "
                f"{capability}: build them again with `python -m export.engines --compute-capability {capability}`"
            )


def _described(shapes: Mapping[str, Shape]) -> list[str]:
    """Adapters by their rank: they have hundreds of inputs."""
    adapters = {name for name in shapes if name.endswith((DOWN, UP))}
    described = [f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items() if name not in adapters]
    ranks = [shapes[name][1] for name in adapters if name.endswith(DOWN)]
    return [*described, f"adapters of rank {max(ranks)}"] if any(ranks) else described


def _listed(words: Sequence[str]) -> str:
    return " or ".join(words)
