"""What is said about low-rank adapters (LoRA): which to apply, and which there are."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_ADAPTERS = 8
"""of one request"""

AdapterName = Annotated[str, Field(min_length=1, max_length=255)]
AdapterScale = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]

OTHER_WORDS = {
    "lora_name": "name",
    "adapter": "name",
    "adapter_name": "name",
    "lora_nickname": "name",
    "local_path": "path",
    "lora_path": "path",
    "lora_local_path": "path",
    "lora_scale": "scale",
    "strength": "scale",
    "weight": "scale",
}
"""what other servers (vLLM-Omni, SGLang, WaveSpeed, ...) and their clients call the fields"""
_WITHOUT_EFFECT = ("int_id", "lora_int_id")
"""what other servers know an adapter by in their caches"""


class LoraRequest(BaseModel):
    """An adapter, or a pair of them, and how strongly to apply it.

    `name` and `path` are for every transformer of the model; `high` and `low` for the high-noise expert
    (`transformer`) and the low-noise expert (`transformer_2`) alone. Other servers' words are understood, too:
    `lora_name`, `local_path`, `lora_path`, `lora_scale`, `strength`, `weight`; `int_id` has no effect. Beside a path a
    name is only a label.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: AdapterName | None = Field(None, description="A name that `GET /v1/loras` lists.", examples=["ink"])
    path: AdapterName | None = Field(
        None,
        description="A file or folder, relative to the server's adapter folder.",
        examples=["styles/ink.safetensors"],
    )
    high: AdapterName | None = Field(None, description="Name or path for the high-noise expert only.")
    low: AdapterName | None = Field(None, description="Name or path for the low-noise expert only.")
    scale: AdapterScale = Field(1.0, description="Strength; 0 is none, negative steers away.", examples=[0.8])

    @model_validator(mode="before")
    @classmethod
    def _in_own_words(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        fields: dict[Any, Any] = {}
        for said, content in value.items():
            if said in _WITHOUT_EFFECT or (said in OTHER_WORDS and content is None):
                continue
            field = OTHER_WORDS.get(said, said)
            if fields.setdefault(field, content) != content:
                raise ValueError(f"says `{field}` twice, as {fields[field]!r:.100} and as {content!r:.100}")
        if fields.get("path") and isinstance(fields.get("name"), str):
            del fields["name"]
        return fields

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        ways = [self.name is not None, self.path is not None, self.high is not None or self.low is not None]
        if sum(ways) != 1:
            raise ValueError("must have one of `name`, `path`, or the pair `high` and `low`")
        return self


class LoraInfo(BaseModel):
    """An adapter that the server has."""

    name: str = Field(description="What `lora.name` says.", examples=["ink"])
    rank: int | None = Field(
        None, description="The greatest of its layers' ranks, 0 for whole differences.", examples=[16]
    )
    bytes: int = Field(description="Size of the file.")
    models: list[str] = Field([], description="Served models that it fits.", examples=[["wan2.2-t2v-a14b"]])
    error: str | None = Field(None, description="Why it fits none.")


class AppliedLora(BaseModel):
    """An adapter, as `generate` tells a transformer to apply it."""

    model_config = ConfigDict(frozen=True)

    file: str
    """path inside the folder of adapters"""
    version: tuple[int, ...]
    """of the file that was checked, see `lora_file.version_of`"""
    scale: float


class AppliedLoras(BaseModel):
    """All of one call."""

    model_config = ConfigDict(frozen=True)

    component: str
    """the transformer's name in the checkpoint: whose layers to take from files that tell two experts apart"""
    adapters: tuple[AppliedLora, ...]
