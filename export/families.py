"""The families by name, and which of them a checkpoint is of."""

from pathlib import Path

from export.checkpoint import INDEX_FILE, read_index
from export.errors import CheckpointError, UnknownFamily
from export.family import Family
from export.qwen_image import QWEN_IMAGE
from export.wan_i2v import WAN_I2V
from export.wan_t2v import WAN_T2V
from export.wan_ti2v import WAN_TI2V

FAMILIES = {family.name: family for family in (WAN_T2V, WAN_I2V, WAN_TI2V, QWEN_IMAGE)}


def get_family(name: str) -> Family:
    """The family of that name.

    Raises:
        UnknownFamily: listing those that there are.
    """
    if name not in FAMILIES:
        raise UnknownFamily(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def recognise_family(folder: Path) -> Family:
    """The family of the checkpoint in `folder`, by its model_index.json.

    Raises:
        CheckpointError: when it is no diffusers checkpoint, or of no known family.
    """
    index = read_index(folder)
    pipeline, token_timesteps = index.get("_class_name"), bool(index.get("expand_timesteps"))
    for family in FAMILIES.values():
        if pipeline in family.pipelines and token_timesteps == family.token_timesteps:
            return family
    known = sorted({pipeline for family in FAMILIES.values() for pipeline in family.pipelines})
    raise CheckpointError(f"{folder}: {INDEX_FILE} says {pipeline}, which is of no known family ({', '.join(known)})")
