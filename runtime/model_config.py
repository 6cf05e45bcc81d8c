"""What a Triton model is to run with, for those that are not that model."""

import os
from pathlib import Path

from protocol.placement import AUTO, DEVICE_VARIABLE, ENGINE_VARIABLE, Device, EngineName, parse_device, parse_engine

_CONFIG = "config.pbtxt"


def asked_for(model: Path) -> tuple[EngineName, Device | None]:
    """Engine and device that a model of the backend `engine` is asked to run on: by the environment, or else by its
    config.pbtxt.

    Args:
        model: its folder in the repository.

    Raises:
        ValueError: its configuration cannot be read, or names none that there is.
        OSError: it has none.
    """
    engine, device = (os.environ.get(variable) for variable in (ENGINE_VARIABLE, DEVICE_VARIABLE))
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
