"""What the graphs of text encoders have in common: token ids and a mask in, states out."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from export.family import Comparison
from export.graph import Graph, Session

_FILE = "model.onnx"


def text_graphs(module: nn.Module, vocabulary: int, output: str) -> list[Graph]:
    """The graph of a module that takes `input_ids` and `attention_mask`, int64 [batch, tokens] both."""
    sizes = {0: "batch", 1: "tokens"}
    return [
        Graph(
            file=_FILE,
            module=module,
            example=_prompts(vocabulary, torch.Generator().manual_seed(0), batch=2, tokens=24),
            dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
            inputs=["input_ids", "attention_mask"],
            outputs=[output],
        )
    ]


def compare_states(
    encode: Callable[[Tensor, Tensor], Tensor], vocabulary: int, sessions: Mapping[str, Session]
) -> Iterator[Comparison]:
    """Compare with what `encode` makes of `input_ids` and `attention_mask`."""
    generator = torch.Generator().manual_seed(1)
    for batch, tokens in ((1, 1), (1, 39), (3, 64), (1, 512)):
        prompts = _prompts(vocabulary, generator, batch, tokens)
        with torch.no_grad():
            expected = encode(*prompts).float().numpy()
        run = partial(sessions[_FILE].run_one, *(tensor.numpy() for tensor in prompts))
        yield Comparison(f"{batch} x {tokens} tokens", run, expected)


def _prompts(vocabulary: int, generator: torch.Generator, batch: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Random ids, and a mask that leaves three tokens more of each prompt out."""
    input_ids = torch.randint(vocabulary, (batch, tokens), generator=generator)
    lengths = torch.tensor([max(1, tokens - 3 * row) for row in range(batch)])
    return input_ids, (torch.arange(tokens)[None] < lengths[:, None]).long()
