"""What steers sampling: the encoded prompts."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class TextConditions:
    """Prompts are [1, tokens, text_dim] each; `negative` is None where sampling is not guided."""

    prompt: torch.Tensor
    negative: torch.Tensor | None
    warnings: tuple[str, ...] = ()
    """what of the text does not steer, in sentences for whoever wrote it"""

    def to(self, device: torch.device) -> "TextConditions":
        """The same, where sampling is done."""
        negative = None if self.negative is None else self.negative.to(device)
        return TextConditions(self.prompt.to(device), negative, self.warnings)
