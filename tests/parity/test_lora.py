"""Videos and images with adapters equal diffusers' `load_lora_weights` and `set_adapters` within 1e-4 per pixel."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from diffusers import QwenImagePipeline, WanPipeline

from pipelines.lora.targets import DIFFERENCE, DOWN, UP, Sizes, read_targets
from runtime.onnx_session import open_session
from tests.adapters import extracted, random_differences, random_matrices, save, save_diffusers, save_trainer
from tests.conftest import Exported

from .adapted import Adapted, Loaded, named, targets_of
from .references import Reference, open_reference

PEFT_CONFIG: dict[str, Any] = {
    "r": 4,
    "lora_alpha": 6,
    "rank_pattern": {"blocks.0.attn1.to_q": 3},
    "alpha_pattern": {"ffn.net.2": 9, "blocks.0.attn1.to_q": 1},
    "target_modules": ["to_q", "to_v", "ffn.net.2"],
}


# What the request says, and what diffusers loads for it.
CASES: dict[str, tuple[Any, list[Loaded]]] = {
    "every layer": ({"name": "every"}, [Loaded("every.safetensors")]),
    "half as strong": ({"name": "every", "scale": 0.5}, [Loaded("every.safetensors", 0.5)]),
    "steered away": ({"name": "every", "scale": -0.7}, [Loaded("every.safetensors", -0.7)]),
    "attention only, by path": ({"path": "styles/attention.safetensors"}, [Loaded("styles/attention.safetensors")]),
    "two": (
        [{"name": "every", "scale": 0.7}, {"path": "styles/attention.safetensors", "scale": 0.4}],
        [Loaded("every.safetensors", 0.7), Loaded("styles/attention.safetensors", 0.4)],
    ),
    "pair": (
        {"high": "every", "low": "styles/attention.safetensors"},
        [Loaded("every.safetensors", low=False), Loaded("styles/attention.safetensors", high=False)],
    ),
    "high noise only": ({"high": "every", "scale": 0.5}, [Loaded("every.safetensors", 0.5, low=False)]),
    "low noise only": ({"low": "every"}, [Loaded("every.safetensors", high=False)]),
    "one file for both experts": (
        {"name": "both"},
        [Loaded("every.safetensors", low=False), Loaded("other.safetensors", high=False)],
    ),
    "alpha in the metadata": ({"name": "metadata"}, [Loaded("metadata/pytorch_lora_weights.safetensors")]),
    "Wan's names, alpha, bfloat16": ({"name": "wan-names"}, [Loaded("wan-names.safetensors")]),
    "kohya's names, alpha, float16": ({"name": "flat-names"}, [Loaded("flat-names.safetensors")]),
}


def write_adapters(folder: Path, sizes: Sizes) -> None:
    every, other = random_matrices(sizes, 4, seed=1), random_matrices(sizes, 2, seed=2, only="blocks.")
    save_diffusers(folder / "every.safetensors", every)
    save_diffusers(folder / "other.safetensors", other)
    save_diffusers(folder / "styles" / "attention.safetensors", random_matrices(sizes, 8, seed=3, only="attn"))
    save(folder / "both.safetensors", named(every, "transformer.") | named(other, "transformer_2."))
    in_blocks = random_matrices(sizes, 4, seed=4, only="blocks.")
    save_trainer(folder / "wan-names.safetensors", in_blocks, alpha=2, flat=False, dtype=torch.bfloat16)
    save_trainer(folder / "flat-names.safetensors", in_blocks, alpha=8, flat=True, dtype=torch.float16)
    WanPipeline.save_lora_weights(
        folder / "metadata",
        named(in_blocks, ""),
        transformer_lora_adapter_metadata={
            "r": 4,
            "lora_alpha": 10,
            "target_modules": list(in_blocks),
            "alpha_pattern": {"blocks.1.attn2.to_k": 2},
        },
    )


@pytest.fixture(scope="module")
def wan(tiny: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    exported = tiny("two-experts")
    folder = tmp_path_factory.mktemp("loras")
    write_adapters(folder, targets_of(exported, "wan_t2v").layers)
    return Adapted(exported, WanPipeline, folder)


@pytest.mark.parametrize("case", CASES)
def test_equals_diffusers(case: str, wan: Adapted) -> None:
    wan.assert_equal(*CASES[case])


@pytest.fixture(scope="module")
def peft_folder(wan: Adapted) -> Reference:
    """PEFT's own model, saved as PEFT saves it into the folder of adapters."""
    reference = open_reference(wan.exported.checkpoint)
    pipeline = reference.pipeline(WanPipeline)
    generator = torch.Generator().manual_seed(5)
    adapted = peft.get_peft_model(pipeline.transformer, peft.LoraConfig(**PEFT_CONFIG, use_rslora=True))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    adapted.save_pretrained(str(wan.folder / "peft"))
    return reference


def test_what_peft_saves_equals_peft(wan: Adapted, peft_folder: Reference) -> None:
    """With ranks and alphas of its own for some layers, and the alpha divided by the rank's root."""
    assert json.loads((wan.folder / "peft" / "adapter_config.json").read_text())["use_rslora"] is True
    wan.compare(wan.params({"high": "peft"}), peft_folder)


def test_jobs_with_different_adapters_do_not_mix(wan: Adapted) -> None:
    """At once each is what it is alone: with one, with another, with the same at another strength, with none."""
    loras = [{"name": "every"}, {"name": "other"}, {"name": "every", "scale": 0.5}, ()]
    jobs = [wan.params(lora) for lora in loras]
    alone = [wan.in_process.frames(job)[0] for job in jobs]
    for at_once, expected in zip(wan.in_process.frames(*jobs, *jobs), alone * 2, strict=True):
        np.testing.assert_allclose(at_once, expected, atol=1e-5)
    for i, one in enumerate(alone):
        for other in alone[i + 1 :]:
            assert np.abs(one - other).max() > 0.05


FAMILIES = {"two-experts": "wan_t2v", "i2v": "wan_i2v", "ti2v": "wan_ti2v", "qwen-image": "qwen_image"}


@pytest.mark.parametrize("layout", FAMILIES)
def test_every_transformer_takes_all_of_an_adapter(layout: str, tiny: Callable[[str], Exported]) -> None:
    """Where it has an effect: of Qwen-Image's last block's text branch nothing reaches the image."""
    exported = tiny(layout)
    for component, targets in read_targets(exported.repository / "generate" / "1" / FAMILIES[layout]).items():
        model = exported.repository / f"{FAMILIES[layout]}_{component}" / "1" / "model.onnx"
        inputs = {value.name for value in open_session(model, threads=1).get_overridable_initializers()}
        lacking = {layer for layer in targets.layers if not inputs >= {layer + DOWN, layer + UP}}
        lacking |= {name for name in targets.parameters if name + DIFFERENCE not in inputs}
        if layout == "qwen-image":
            assert lacking
            unused = re.compile(r"transformer_blocks\.1\.(attn\.(add_q|to_add|norm_added_q)|txt_)")
            assert all(unused.match(name) for name in lacking)
        else:
            assert not lacking


def test_differences_for_a_model_with_a_timestep_per_token(
    tiny: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whose modulation tables the exporter folds into another shape."""
    adapted = Adapted(tiny("ti2v"), WanPipeline, tmp_path_factory.mktemp("loras"))
    differences = random_differences(targets_of(adapted.exported, "wan_ti2v"), ["proj_out"])
    save(adapted.folder / "whole.safetensors", extracted(differences))
    adapted.assert_equals_merged({"name": "whole"}, differences)


def test_qwen_image_equals_diffusers(tiny: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of the last block's text branch nothing reaches the image; an adapter may hold its layers all the same."""
    exported = tiny("qwen-image")
    folder = tmp_path_factory.mktemp("loras")
    matrices = random_matrices(targets_of(exported, "qwen_image").layers, 4, seed=6)
    save_diffusers(folder / "every.safetensors", matrices)
    qwen = Adapted(exported, QwenImagePipeline, folder)
    qwen.assert_equal({"name": "every", "scale": 0.6}, [Loaded("every.safetensors", 0.6)])
    differences = random_differences(targets_of(exported, "qwen_image"))
    endings = {"weight": "diff", "bias": "diff_b"}
    whole = {}
    for name, difference in differences.items():
        module, _, kind = name.rpartition(".")
        whole[f"{module}.{endings[kind]}"] = difference
    save(folder / "whole.safetensors", whole)
    qwen.assert_equals_merged({"name": "whole"}, differences)
