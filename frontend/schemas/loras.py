"""`GET /v1/loras`."""

from typing import Literal

from pydantic import BaseModel

from protocol.lora import LoraInfo


class Lora(LoraInfo):
    object: Literal["lora"] = "lora"


class LoraList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Lora]
