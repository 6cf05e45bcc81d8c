"""Guidance equals diffusers' own lines, and evaluates no branch that does not count."""

import pytest
import torch

from pipelines.conditions import TextConditions
from pipelines.guidance import Guidance, GuidanceKind

BOTH = TextConditions(torch.zeros(1, 2, 3), torch.ones(1, 2, 3))
PROMPT_ALONE = TextConditions(torch.zeros(1, 2, 3), None)


@pytest.mark.parametrize(
    ("scale", "text", "branches"),
    [(4.0, BOTH, 2), (0.5, BOTH, 2), (1.0, BOTH, 1), (4.0, PROMPT_ALONE, 1), (1.0, PROMPT_ALONE, 1)],
)
def test_the_negative_prompt_is_evaluated_where_it_counts(scale: float, text: TextConditions, branches: int) -> None:
    prompts = Guidance(scale).branches(text)
    assert len(prompts) == branches
    assert prompts[0] is text.prompt
    assert branches == 1 or prompts[1] is text.negative


@pytest.mark.parametrize(("scale", "needed"), [(0.5, False), (1.0, False), (1.1, True)])
def test_the_negative_prompt_is_encoded_above_a_scale_of_one(scale: float, needed: bool) -> None:
    assert Guidance(scale).needs_negative is needed


def test_one_prediction_is_left_alone() -> None:
    cond = torch.randn(1, 4, 8)
    assert torch.equal(Guidance(4.0, "norm_preserving").combine(cond), cond)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_classifier_free(dtype: torch.dtype) -> None:
    cond, uncond = torch.randn(2, 1, 16, 3, 4, 4).to(dtype)
    guided = Guidance(3.5).combine(torch.cat([cond, uncond]))
    assert guided.dtype == dtype
    assert torch.equal(guided, uncond + 3.5 * (cond - uncond))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_norm_preserving(dtype: torch.dtype) -> None:
    cond, uncond = torch.randn(2, 1, 4, 8).to(dtype)
    guided = Guidance(4.0, "norm_preserving").combine(torch.cat([cond, uncond]))
    comb = uncond + 4.0 * (cond - uncond)
    expected = comb * (torch.norm(cond, dim=-1, keepdim=True) / torch.norm(comb, dim=-1, keepdim=True))
    assert guided.dtype == dtype
    torch.testing.assert_close(guided, expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classifier_free", "norm_preserving"])
@pytest.mark.parametrize("rescale", [0.3, 1.0])
def test_rescaled(rescale: float, kind: GuidanceKind) -> None:
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg  # takes 4 s

    cond, uncond = torch.randn(2, 1, 4, 8)
    both = torch.cat([cond, uncond])
    guided = Guidance(4.0, kind).combine(both)
    assert torch.equal(Guidance(4.0, kind, rescale).combine(both), rescale_noise_cfg(guided, cond, rescale))
    assert torch.equal(Guidance(4.0, kind, 0.0).combine(both), guided)
