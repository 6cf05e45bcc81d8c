"""The checks. Each is run in a process of its own and gives what it has found."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_check import served
from benchmarks.gpu_check.copies import host_copies_per_step
from benchmarks.gpu_check.device import Found, describe, matrix_tflops, seconds_per_call, taken_gib
from benchmarks.gpu_check.models import WideTransformer, build_vae, fill, options_for, vae_config
from benchmarks.gpu_check.prepared import Prepared, make
from export.options import Precision
from export.precision import DTYPES
from pipelines.ensemble.in_process import InProcess
from runtime.engine import Chunk
from runtime.onnx_engine import open_engine

_VAE_LATENTS = {False: (44, 80), True: (4, 4)}
"""height and width of TI2V-5B's at 1280x704, or small ones"""
_VAE_FRAMES = 4


def machine(prepared: Prepared) -> Iterator[Found]:
    yield describe(prepared.device)


def toys(prepared: Prepared) -> Iterator[Found]:
    """Equal seeds give equal frames, but for rounding: the peak signal-to-noise ratio to float32 on a CPU."""
    for precision in (Precision.FLOAT32, Precision.BFLOAT16):
        for toy in prepared.toys:
            frames = make(InProcess(toy.repository(precision), device=prepared.device))
            error = frames - toy.expected
            yield {
                "model": toy.name,
                "precision": precision,
                "psnr_db": float(-10 * np.log10(max(float(np.mean(error**2)), 1e-12))),
                "max_difference": float(np.abs(error).max()),
            }


def steps(prepared: Prepared) -> Iterator[Found]:
    """One evaluation of a transformer with random weights, and of diffusers' own, eager with torch's attention."""
    fastest = matrix_tflops(prepared.device)
    for model in prepared.transformers:
        inputs = model.inputs(prepared.device)
        found: Found = {"model": model.name, "layers": model.layers, "teraflop": _operations(model) / 1e12}
        found |= _our_step(prepared, model, inputs)
        gc.collect()
        found |= _step_of_diffusers(prepared, model, inputs)
        found["ratio"] = found["seconds"] / found["seconds_diffusers"]
        found["tflops"] = found["teraflop"] / found["seconds"]
        found["of_matrix_tflops"] = found["tflops"] / fastest
        found["seconds_all_layers"] = found["seconds"] * model.real_layers / model.layers
        yield found


def _operations(model: WideTransformer) -> int:
    """Floating-point operations of one row."""
    with torch.device("meta"):
        module = model.module()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            module(**model.inputs("meta"))
    return counter.get_total_flops()


def _our_step(prepared: Prepared, model: WideTransformer, inputs: dict[str, torch.Tensor]) -> Found:
    version = prepared.version(model)
    fill(version)
    engine = open_engine(version, device=prepared.device)
    return {
        "seconds": seconds_per_call(lambda: engine.run(inputs), prepared.device),
        "gib": taken_gib(prepared.device),
    }


def _step_of_diffusers(prepared: Prepared, model: WideTransformer, inputs: dict[str, torch.Tensor]) -> Found:
    dtype = DTYPES[options_for(prepared.device).precision]
    with torch.device(prepared.device):
        module: Any = model.module().to(dtype)
    for name, parameter in module.named_parameters():
        if not set(module._keep_in_fp32_modules).isdisjoint(name.split(".")):
            parameter.data = parameter.data.float()
    latents, timestep, text = (inputs[name] for name in ("hidden_states", "timestep", "encoder_hidden_states"))

    def step() -> None:
        module(latents.to(dtype), timestep, text.to(dtype), return_dict=False)

    with torch.no_grad():
        seconds = seconds_per_call(step, prepared.device)
    return {"seconds_diffusers": seconds, "gib_diffusers": taken_gib(prepared.device)}


def vae(prepared: Prepared) -> Iterator[Found]:
    """TI2V-5B's decoder with random weights: the first chunk of a video and a later one, and diffusers' whole video."""
    device = prepared.device
    version = prepared.folder / "vae"
    module: Any = build_vae(vae_config(prepared.is_small), version, options_for(device))
    height, width = _VAE_LATENTS[prepared.is_small]
    latents = torch.randn(1, 48, _VAE_FRAMES, height, width, generator=torch.Generator().manual_seed(0)).to(device)
    found = _our_chunks(version, latents[:, :, :1].contiguous(), device)
    gc.collect()
    module.to(device)
    with torch.no_grad():
        whole = seconds_per_call(lambda: module.decode(latents.to(module.dtype), return_dict=False), device)
    ours = found["seconds_first_chunk"] + (_VAE_FRAMES - 1) * found["seconds_next_chunk"]
    yield found | {"seconds_diffusers": whole, "ratio": ours / whole, "gib_diffusers": taken_gib(device)}


def _our_chunks(version: Path, latents: torch.Tensor, device: str) -> Found:
    engine = open_engine(version, device=device)

    def chunk(start: bool) -> None:
        engine.run({"latents": latents}, Chunk(1, start=start))

    return {
        "seconds_first_chunk": seconds_per_call(lambda: chunk(start=True), device),
        "seconds_next_chunk": seconds_per_call(lambda: chunk(start=False), device),
        "gib": taken_gib(device),
    }


def copies(prepared: Prepared) -> Iterator[Found]:
    """How often a denoising step copies between host and GPU."""
    for toy in prepared.toys:
        pipeline = InProcess(toy.repository(Precision.BFLOAT16), device=prepared.device)
        yield {"model": toy.name} | host_copies_per_step(pipeline)


def server(prepared: Prepared) -> Iterator[Found]:
    """The whole server, as a user starts it."""
    for toy in prepared.toys:
        run_dir = prepared.folder / "server" / toy.name
        yield {"model": toy.name} | served.measure(toy.repository(Precision.BFLOAT16), run_dir, prepared.device)


CHECKS: dict[str, Callable[[Prepared], Iterator[Found]]] = {
    "machine": machine,
    "toys": toys,
    "steps": steps,
    "vae": vae,
    "copies": copies,
    "server": server,
}
"""by name; each gives a row for each thing that it looks at, as soon as it knows it"""
