"""What can be told to be wrong before anything is started."""

import logging
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import SettingsError

from frontend.settings import Settings as FrontendSettings
from launcher.errors import SetupError, in_words
from launcher.settings import Settings
from protocol.placement import AUTO, EngineName, parse_device
from runtime.engine import EngineUnusable
from runtime.placement import check_tensorrt

logger = logging.getLogger(__name__)


def check_lora_folder(folder: Path) -> None:
    """Say so when there is no folder of adapters. Raises SetupError when it cannot be used."""
    try:
        next(folder.iterdir(), None)
    except FileNotFoundError:
        logger.info("there are no adapters: the folder %s does not exist", folder)
    except (OSError, ValueError) as error:
        raise SetupError(
            f"Cannot read the folder of adapters {folder}: {in_words(error)}. Choose another one with --lora-dir."
        ) from error


def check_engine(settings: Settings) -> None:
    """Raise SetupError where no model could run on the engine that all are to run on."""
    if settings.engine != EngineName.TENSORRT:
        return
    try:
        check_tensorrt(parse_device(settings.device or AUTO))
    except EngineUnusable as error:
        raise SetupError(f"--engine {settings.engine}: {error}.") from error


def check_environment(settings: Settings) -> None:
    """Raise SetupError for an environment variable that the frontend would not start with."""
    if not settings.with_frontend:
        return
    try:
        FrontendSettings(host=settings.host, port=settings.ports.frontend, log_level=settings.log_level)
    except ValidationError as error:
        prefix = FrontendSettings.model_config["env_prefix"]
        lines = []
        for one in error.errors(include_url=False, include_input=False):  # a value may be a secret
            name = "_".join(map(str, one["loc"])).upper()
            lines.append(f"{prefix}{name}: {one['msg']}." if name else f"{one['msg']}.")
        raise SetupError("\n".join(["The environment cannot be used:", *lines])) from error
    except SettingsError as error:
        raise SetupError(f"The environment cannot be used: {error}.") from error
