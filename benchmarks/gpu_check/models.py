"""Models of real width with random weights: their graphs are made beforehand, their weights where they are measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from benchmarks.random_weights import describe_module, write_random, write_zeros
from export import wan_parts
from export.component import trace_component
from export.graph import BuiltGraph, Graph, save
from export.mapped_module import MappedModule
from export.options import EXTERNAL_ABOVE, Options, Precision, Target
from export.precision import DTYPES
from export.stored_weights import entries_in
from export.weights_file import WEIGHTS_FILE, layout

_GRAPH = "model.onnx"
_HEADER = "weights.header"
"""what its weights' file begins with"""
_TEXT_TOKENS = 512

Config = Mapping[str, Any]


@dataclass(frozen=True)
class WideTransformer:
    """A WanTransformer3DModel, and what it is measured on."""

    name: str
    config: Config
    latents: tuple[int, int, int]
    """frames, height, width of one row"""
    real_layers: int
    """that the published model has"""
    token_timesteps: bool = False

    @property
    def layers(self) -> int:
        return int(self.config["num_layers"])

    def module(self) -> nn.Module:
        """With whatever weights it begins with, on the current default device."""
        from diffusers import WanTransformer3DModel

        module: nn.Module = WanTransformer3DModel(**self.config)
        return module

    def inputs(self, device: str) -> dict[str, Tensor]:
        """One row, as the graph takes it: float32."""
        generator = torch.Generator().manual_seed(0)
        frames, height, width = self.latents
        channels, text_dim = self.config["in_channels"], self.config["text_dim"]
        patches = (1, frames * height * width // 4) if self.token_timesteps else (1,)
        inputs = {
            "hidden_states": torch.randn(1, channels, frames, height, width, generator=generator),
            "timestep": torch.full(patches, 500.0),
            "encoder_hidden_states": torch.randn(1, _TEXT_TOKENS, text_dim, generator=generator),
        }
        return {name: tensor.to(device) for name, tensor in inputs.items()}


def transformers(is_small: bool) -> list[WideTransformer]:
    """What is measured: TI2V-5B whole, and some layers of A14B; or something tiny."""
    if is_small:
        tiny = {"num_attention_heads": 2, "ffn_dim": 256, "num_layers": 2, "text_dim": 64, "freq_dim": 64}
        return [
            WideTransformer("ti2v-5b", {**tiny, "in_channels": 48, "out_channels": 48}, (3, 8, 8), 2, True),
            WideTransformer("a14b", {**tiny, "in_channels": 16, "out_channels": 16}, (3, 8, 8), 4),
        ]
    common = {"attention_head_dim": 128, "text_dim": 4096, "freq_dim": 256}
    five = {"num_attention_heads": 24, "ffn_dim": 14336, "num_layers": 30, "in_channels": 48, "out_channels": 48}
    fourteen = {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 4, "in_channels": 16, "out_channels": 16}
    return [
        WideTransformer("ti2v-5b", {**common, **five}, (31, 44, 80), 30, True),  # 1280x704, 121 frames
        WideTransformer("a14b", {**common, **fourteen}, (21, 60, 104), 40),  # 832x480, 81 frames
    ]


def vae_config(is_small: bool) -> Config:
    """Of TI2V-5B's AutoencoderKLWan."""
    return {
        "base_dim": 8 if is_small else 160,
        "decoder_base_dim": 8 if is_small else 256,
        "z_dim": 48,
        "in_channels": 12,
        "out_channels": 12,
        "is_residual": True,
        "patch_size": 2,
        "scale_factor_spatial": 16,
        "scale_factor_temporal": 4,
        "latents_mean": [0.0] * 48,
        "latents_std": [1.0] * 48,
    }


def options_for(device: str) -> Options:
    """Graphs in bfloat16 for GPUs, or such as a CPU can compute."""
    if device == "cpu":
        return Options(Target.ONNXRUNTIME, Precision.FLOAT32)
    return Options(Target.ONNX, Precision.BFLOAT16)


def prepare_graph(model: WideTransformer, version: Path, options: Options) -> None:
    """Write the graph and what its weights' file begins with; the weights are zeros that are nowhere."""
    part = wan_parts.transformer(model.name, model.token_timesteps)
    version.mkdir(parents=True)
    with TemporaryDirectory(dir=version) as scratch:
        folder = Path(scratch) / "transformer"
        with torch.device("meta"):
            module: Any = model.module()
        module.save_config(folder)
        entries = describe_module(module, DTYPES[options.precision])
        write_zeros(folder / "diffusion_pytorch_model.safetensors", entries)
        form = options.form(part)
        mapped = MappedModule(part.load, folder, form.precision, Path(scratch))
        (graph,) = part.graphs(mapped.module, form)
        assert isinstance(graph, Graph)
        trace, _ = trace_component(graph, mapped, part, options)
        beginning, places = layout(trace.entries, model.name)
        ir.save(trace.refer(version, places), version / _GRAPH)
    (version / _HEADER).write_bytes(beginning)


def fill(version: Path) -> None:
    """Give a prepared graph weights."""
    beginning = (version / _HEADER).read_bytes()
    write_random(version / WEIGHTS_FILE, entries_in(beginning), beginning)


def build_vae(config: Config, version: Path, options: Options) -> Any:
    """The decoder's graphs and plan, and the module in the precision of the options."""
    from diffusers import AutoencoderKLWan

    part = wan_parts.vae("vae")
    form = options.form(part)
    module = AutoencoderKLWan(**config).eval().to(DTYPES[form.precision])
    version.mkdir(parents=True, exist_ok=True)
    for graph in part.graphs(module, form):
        assert isinstance(graph, BuiltGraph)
        save(graph.build(), version / graph.file, EXTERNAL_ABOVE)
    assert part.bands is not None
    part.bands(module).write(version)
    return module
