"""What steers sampling: the encoded prompts."""

from dataclasses import dataclass

from pipelines.runner import Array


@dataclass(frozen=True)
class TextConditions:
    """float32 [1, tokens, text_dim] each; `negative` is None where sampling is not guided."""

    prompt: Array
    negative: Array | None
