"""Adapter files as each trainer and distiller writes them equal diffusers within 1e-4 per pixel.

Where diffusers cannot load a writer's names, it gets the same matrices under its own. Where it drops a difference, the
reference is its transformer with the difference added to the weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from diffusers import QwenImagePipeline, WanPipeline
from safetensors.torch import load_file, save_file

from pipelines.lora.targets import Targets
from tests.adapters import (
    Matrices,
    extracted,
    random_differences,
    random_matrices,
    save,
    save_diffusers,
    wan_name,
)
from tests.conftest import Exported

from .adapted import Adapted, Loaded, targets_of

RANK = 4
WHOLE = ("proj_out", "blocks.0.ffn.net.0.proj", "blocks.1.attn2.to_v", "condition_embedder.time_proj")
"""linear layers whose differences are saved whole"""


@dataclass(frozen=True)
class Writer:
    """How a writer names what it saves.

    Args:
        layer: the layer's name; `{d}` as diffusers has it, `{w}` as Wan's repository, `{fd}` and `{fw}` with
            underscores, `{p}` as older versions of diffusers had it, up to the matrices' names.
        loads: whether diffusers understands it, for Wan and for Qwen-Image.
    """

    layer: str
    down: str = ".lora_down.weight"
    up: str = ".lora_up.weight"
    alpha: float | int | None = None
    dtype: torch.dtype = torch.float32
    loads: tuple[bool, bool] = (True, True)

    def save(self, path: Path, matrices: Matrices) -> None:
        tensors = {}
        for layer, (down, up) in matrices.items():
            name = self.layer.format(
                d=layer,
                w=wan_name(layer),
                fd=layer.replace(".", "_"),
                fw=wan_name(layer).replace(".", "_"),
                p=layer.replace(".to_", ".processor.to_").replace("to_out.0", "to_out"),
            )
            tensors[name + self.down] = down.to(self.dtype)
            tensors[name + self.up] = up.to(self.dtype)
            if self.alpha is not None:
                tensors[f"{name}.alpha"] = torch.tensor(self.alpha)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)

    def save_in_diffusers_words(self, path: Path, matrices: Matrices) -> None:
        factor = 1.0 if self.alpha is None else self.alpha / RANK
        rounded = {
            name: (down.to(self.dtype).float(), factor * up.to(self.dtype).float())
            for name, (down, up) in matrices.items()
        }
        save_diffusers(path, rounded)


PEFT = (".lora_A.weight", ".lora_B.weight")
DEFAULT = (".lora_A.default.weight", ".lora_B.default.weight")
DOTTED = (".lora.down.weight", ".lora.up.weight")
NEITHER, ONLY_WAN, ONLY_QWEN = (False, False), (True, False), (False, True)

WAN_WRITERS = {
    "kohya and musubi": Writer("lora_unet_{fw}", alpha=2.0),
    "kohya, an integer for the alpha": Writer("lora_unet_{fw}", alpha=2),
    "kohya without an alpha": Writer("lora_unet_{fw}", loads=NEITHER),
    "VideoX-Fun": Writer("lora_unet__{fw}", alpha=2.0, loads=NEITHER),
    "DiffSynth": Writer("{w}", *DEFAULT, loads=NEITHER),
    "UniAnimate on DiffSynth": Writer("pipe.dit.{w}", *PEFT, loads=NEITHER),
    "ai-toolkit and diffusion-pipe": Writer("diffusion_model.{w}", *PEFT),
    "ComfyUI": Writer("diffusion_model.{w}", alpha=8.0),
    "ComfyUI, F16": Writer("diffusion_model.{w}", alpha=8.0, dtype=torch.float16),
    "ComfyUI, BF16": Writer("diffusion_model.{w}", dtype=torch.bfloat16),
    "ComfyUI, F64": Writer("diffusion_model.{w}", dtype=torch.float64),
    "ComfyUI, F8_E4M3": Writer("diffusion_model.{w}", dtype=torch.float8_e4m3fn),
    "ComfyUI, F8_E5M2": Writer("diffusion_model.{w}", dtype=torch.float8_e5m2),
}
WRITERS = {
    "diffusers and finetrainers": Writer("transformer.{d}", *PEFT),
    "diffusers, earlier": Writer("transformer.{d}", *DOTTED),
    "attention processors": Writer("transformer.{p}", "_lora.down.weight", "_lora.up.weight", loads=NEITHER),
    "SimpleTuner": Writer("transformer.base_model.model.{d}", *DOTTED, loads=NEITHER),
    "SimpleTuner for ComfyUI": Writer("diffusion_model.{d}", *PEFT, alpha=2.0, loads=ONLY_QWEN),
    "OneTrainer": Writer("lora_transformer_{fd}", alpha=2.0, loads=NEITHER),
    "OneTrainer, later": Writer("transformer.{d}", alpha=2.0, loads=NEITHER),
    "LyCORIS": Writer("lycoris_{fd}", alpha=2.0, loads=NEITHER),
    "PEFT, one file": Writer("base_model.model.{d}", *PEFT, loads=NEITHER),
    "PEFT, a copy of its state": Writer("base_model.model.{d}", *DEFAULT, loads=NEITHER),
    "accelerate": Writer("module.{d}", *PEFT, loads=NEITHER),
    "torch.compile": Writer("transformer._orig_mod.{d}", *PEFT, loads=NEITHER),
    "kohya, in diffusers' names": Writer("lora_unet_{fd}", alpha=2.0, loads=ONLY_QWEN),
    "no prefix": Writer("{d}", alpha=2.0, loads=ONLY_QWEN),
    "DiffSynth, in diffusers' names": Writer("{d}", *DEFAULT, loads=ONLY_QWEN),
}
ALL_OF_WAN = WAN_WRITERS | WRITERS


@pytest.fixture(scope="module")
def wan(tiny: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    return Adapted(tiny("two-experts"), WanPipeline, tmp_path_factory.mktemp("loras"))


@pytest.fixture(scope="module")
def qwen(tiny: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    return Adapted(tiny("qwen-image"), QwenImagePipeline, tmp_path_factory.mktemp("loras"))


@pytest.fixture(scope="module")
def targets(wan: Adapted) -> Targets:
    return targets_of(wan.exported, "wan_t2v")


@pytest.mark.parametrize("writer", ALL_OF_WAN)
def test_a_file_for_wan(writer: str, wan: Adapted, targets: Targets) -> None:
    matrices = random_matrices(targets.layers, RANK, seed=1, only="blocks.")
    assert_equal(wan, ALL_OF_WAN[writer], matrices, ALL_OF_WAN[writer].loads[0])


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_for_qwen_image(writer: str, qwen: Adapted) -> None:
    layers = targets_of(qwen.exported, "qwen_image").layers
    assert_equal(qwen, WRITERS[writer], random_matrices(layers, RANK, seed=1, strength=0.1), WRITERS[writer].loads[1])


def assert_equal(adapted: Adapted, writer: Writer, matrices: Matrices, diffusers_loads: bool) -> None:
    writer.save(adapted.folder / "written.safetensors", matrices)
    writer.save_in_diffusers_words(adapted.folder / "words" / "own.safetensors", matrices)
    loaded = "written.safetensors" if diffusers_loads else "words/own.safetensors"
    adapted.assert_equal({"name": "written", "scale": 0.8}, [Loaded(loaded, 0.8)])


def test_layers_beside_the_blocks(wan: Adapted, targets: Targets) -> None:
    """Of embeddings and of the head, with Wan's own names."""
    matrices = random_matrices(targets.layers, RANK, seed=1)
    assert_equal(wan, Writer("diffusion_model.{w}"), matrices, diffusers_loads=True)


def test_a_convolution(wan: Adapted, targets: Targets) -> None:
    """The patch embedding is one."""
    fan_out, *kernel = targets.parameters["patch_embedding.weight"]
    generator = torch.Generator().manual_seed(1)
    down = torch.randn(RANK, *kernel, generator=generator) * 0.2
    up = torch.randn(fan_out, RANK, 1, 1, 1, generator=generator) * 0.5
    save_diffusers(wan.folder / "convolution.safetensors", {"patch_embedding": (down, up)})
    wan.assert_equal({"name": "convolution", "scale": 0.5}, [Loaded("convolution.safetensors", 0.5)])


@pytest.mark.parametrize(
    ("layer", "down", "up", "bias"),
    [
        ("diffusion_model.{w}", ".lora_down.weight", ".lora_up.weight", ".diff_b"),
        ("transformer.{d}", *PEFT, ".lora_B.bias"),
    ],
)
def test_biases_of_every_layer(layer: str, down: str, up: str, bias: str, wan: Adapted, targets: Targets) -> None:
    """Which diffusers understands where every layer has one."""
    matrices = random_matrices(targets.layers, RANK, seed=1, only="attn")
    path = wan.folder / "biases.safetensors"
    Writer(layer, down, up).save(path, matrices)
    generator = torch.Generator().manual_seed(2)
    biases = {
        layer.format(d=name, w=wan_name(name)) + bias: torch.randn(len(pair[1]), generator=generator) * 0.2
        for name, pair in matrices.items()
    }
    save(path, load_file(path) | biases)
    wan.assert_equal({"name": "biases", "scale": 0.7}, [Loaded("biases.safetensors", 0.7)])


def test_layers_that_the_model_lacks_are_left_out(wan: Adapted, targets: Targets) -> None:
    """diffusers passes over them, too: those for images, in adapters distilled from Wan2.1."""
    matrices = random_matrices(targets.layers, RANK, seed=1, only="blocks.")
    dim = targets.layers["blocks.0.attn2.to_k"][0]
    lacking = {f"blocks.{i}.attn2.add_{which}_proj": (dim, dim) for i in range(2) for which in "kv"}
    Writer("diffusion_model.{w}").save(wan.folder / "images.safetensors", matrices | named_for_images(lacking))
    wan.assert_equal({"name": "images"}, [Loaded("images.safetensors")])


def named_for_images(lacking: dict[str, tuple[int, int]]) -> Matrices:
    return {
        name.replace("add_k_proj", "k_img").replace("add_v_proj", "v_img"): pair
        for name, pair in random_matrices(lacking, RANK, seed=2).items()
    }


def test_differences_beside_low_rank_updates(wan: Adapted, targets: Targets) -> None:
    """As a distiller's extraction leaves them: whole where a tensor is small, low-rank elsewhere."""
    matrices = random_matrices(targets.layers, RANK, seed=1, only="attn1")
    differences = random_differences(targets, WHOLE)
    Writer("diffusion_model.{w}").save(wan.folder / "low.safetensors", matrices)
    content = load_file(wan.folder / "low.safetensors") | extracted(differences)
    save(wan.folder / "extracted.safetensors", content)
    added = {f"{name}.weight": up @ down for name, (down, up) in matrices.items()}
    for name, difference in differences.items():
        added[name] = added.get(name, torch.zeros(())) + difference
    scaled = {name: 0.7 * difference for name, difference in added.items()}
    wan.assert_equals_merged({"name": "extracted", "scale": 0.7}, scaled)
