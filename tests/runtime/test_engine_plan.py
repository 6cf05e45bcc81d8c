"""Which engine, and which of its profiles, a call runs with; or the sentence that says why none does."""

from pathlib import Path

import pytest

from runtime.engine import EngineUnusable
from runtime.engine_plan import CURRENT, EnginePlan, EnginePlans, EngineProfile

WIDE = EngineProfile(name="wide", least={"x": (1, 4, 2, 2), "a": (4, 0)}, most={"x": (4, 4, 90, 160), "a": (4, 0)})
NARROW = EngineProfile(
    name="60x104", least={"x": (1, 4, 60, 104), "a": (4, 0)}, most={"x": (2, 4, 60, 104), "a": (4, 0)}
)
ADAPTERS = EngineProfile(
    name="adapters", least={"x": (1, 4, 2, 2), "a": (4, 1)}, most={"x": (4, 4, 90, 160), "a": (4, 8)}
)
PLAN = EnginePlan(graph="model.onnx", fingerprint="f", engine="model.plan", profiles=(WIDE, NARROW, ADAPTERS))
PLANS = EnginePlans(library="tensorrt-rtx", version="1.7", capabilities=("8.9", "12.0"), engines=(PLAN,))


@pytest.mark.parametrize(
    ("x", "a", "name"),
    [
        ((2, 4, 60, 104), (4, 0), "60x104"),
        ((3, 4, 60, 104), (4, 0), "wide"),
        ((1, 4, 60, 102), (4, 0), "wide"),
        ((1, 4, 60, 104), (4, 3), "adapters"),
    ],
)
def test_the_narrowest_profile_that_fits(x: tuple[int, ...], a: tuple[int, ...], name: str) -> None:
    assert PLAN.profiles[PLAN.choose({"x": x, "a": a})].name == name


@pytest.mark.parametrize("x", [(5, 4, 60, 104), (1, 4, 1, 104), (1, 4, 91, 104), (1, 60, 104)])
def test_a_size_that_it_was_not_built_for(x: tuple[int, ...]) -> None:
    sizes = "x".join(map(str, x))
    with pytest.raises(
        EngineUnusable, match=rf"model\.plan was not built for x {sizes}, a 4x0; it was for: wide; 60x104"
    ):
        PLAN.choose({"x": x, "a": (4, 0)})


def test_written_and_read(tmp_path: Path) -> None:
    PLANS.write(tmp_path)
    assert EnginePlans.read(tmp_path) == PLANS


@pytest.mark.parametrize("content", [None, "", "{}", '{"library": 5}'])
def test_a_plan_that_cannot_be_read(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    with pytest.raises(
        EngineUnusable, match=r"plan\.json cannot be read: build the engines with `python -m export\.engines`"
    ):
        EnginePlans.read(tmp_path)


def test_engines_run_on_what_they_were_built_for() -> None:
    PLANS.check("tensorrt-rtx", "1.7", "12.0")
    PLANS.model_copy(update={"capabilities": (CURRENT,)}).check("tensorrt-rtx", "1.7", "9.0")
    with pytest.raises(
        EngineUnusable, match=r"built for GPUs of compute capability 8\.9 or 12\.0, and this one has 8\.6: .*"
    ):
        PLANS.check("tensorrt-rtx", "1.7", "8.6")
    for library, version in (("tensorrt-rtx", "1.8"), ("tensorrt", "1.7")):
        with pytest.raises(
            EngineUnusable, match=rf"built with tensorrt-rtx 1\.7, and this is {library} {version}: build"
        ):
            PLANS.check(library, version, "8.9")


def test_adapters_of_too_high_a_rank_are_named_once() -> None:
    shapes = {"x": (1, 4, 60, 104)} | {f"{layer}.lora_A": (4, 9) for layer in "abc"}
    profile = EngineProfile(name="wide", least=dict.fromkeys(shapes, ()), most=dict.fromkeys(shapes, ()))
    plan = EnginePlan(graph="model.onnx", fingerprint="f", engine="model.plan", profiles=(profile,))
    with pytest.raises(EngineUnusable, match=r"not built for x 1x4x60x104, adapters of rank 9; it was for: wide"):
        plan.choose(shapes)
