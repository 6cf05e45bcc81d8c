"""What a Triton model is to run with, for those that are not that model."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.placement import AUTO, DEVICE_VARIABLE, ENGINE_VARIABLE, Device, EngineName, parse_device, parse_engine
from protocol.repository import VERSION
from runtime.engine import PLAN_FILE, EngineUnusable
from runtime.placement import choose

if TYPE_CHECKING:
    from runtime.engine_plan import EnginePlans

_CONFIG = "config.pbtxt"


def engines_in_use(model: Path, engine: str | None = None, device: str | None = None) -> "EnginePlans | None":
    """The TensorRT engines that a model runs with on this machine; None where it runs on ONNX Runtime, or cannot be
    loaded.

    Args and errors are those of `asked_for`.
    """
    version = model / VERSION
    if not (version / PLAN_FILE).exists():
        return None
    try:
        placement = choose(version, *asked_for(model, engine, device))
    except EngineUnusable:
        return None
    return placement.tensorrt.plans if placement.tensorrt is not None else None


def asked_for(model: Path, engine: str | None = None, device: str | None = None) -> tuple[EngineName, Device | None]:
    """Engine and device that a model of the backend `engine` is asked to run on.

    Args:
        model: its folder in the repository.
        engine, device: of all models, empty for what its config.pbtxt says; None for what the environment says.

    Raises:
        ValueError: its configuration cannot be read, or names none that there is.
        OSError: it has none.
    """
    engine = os.environ.get(ENGINE_VARIABLE) if engine is None else engine
    device = os.environ.get(DEVICE_VARIABLE) if device is None else device
    if not (engine and device):
        parameters = _parameters(model / _CONFIG)
        engine = engine or parameters.get("engine", AUTO)
        device = device or parameters.get("device", AUTO)
    return parse_engine(engine), parse_device(device)


def _parameters(file: Path) -> dict[str, str]:
    # a quarter of a second, which only who has TensorRT engines needs to wait for
    from google.protobuf import text_format  # type: ignore[import-untyped]
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    try:
        config = text_format.Parse(file.read_text(), ModelConfig())
    except text_format.ParseError as error:
        raise ValueError(f"{file}: {error}") from None
    return {name: value.string_value for name, value in config.parameters.items()}
