"""How much memory and time an export takes: `python -m benchmarks.export_memory FOLDER`.

Makes a checkpoint with the width of Wan2.2-A14B and as few layers as it is told to, of random numbers, exports it, and
prints the peak of the anonymous memory of all its processes together, which file pages do not count in.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import psutil
import torch
import typer
from torch import nn

from benchmarks.random_weights import describe_module, write_random
from export.options import Options, Precision, Target
from export.precision import DTYPES
from export.quiet import quiet_libraries
from export.stored_weights import bytes_of, header_bytes
from export.tiny import LayoutName, build


def main(
    folder: Annotated[Path, typer.Argument(help="Folder to work in; it must be empty or absent, and is removed.")],
    layers: Annotated[int, typer.Option(min=1, help="Of the transformer and of the text encoder.")] = 2,
    width: Annotated[int, typer.Option(help="Of the transformer; a multiple of 128.")] = 5120,
    vocabulary: Annotated[int, typer.Option(help="Of the text encoder.")] = 256_384,
    stored: Annotated[Precision, typer.Option(help="That the checkpoint stores.")] = Precision.BFLOAT16,
    target: Annotated[Target, typer.Option()] = Target.ONNX,
    precision: Annotated[Precision, typer.Option(help="To export in.")] = Precision.BFLOAT16,
) -> None:
    """Export a wide checkpoint of random weights and say what that took."""
    quiet_libraries()
    checkpoint = folder / "checkpoint"
    try:
        build(checkpoint, LayoutName.ONE_EXPERT)
        size = write_transformer(checkpoint / "transformer", layers, width, DTYPES[stored])
        size += write_text_encoder(checkpoint / "text_encoder", layers, width, vocabulary, DTYPES[stored])
        print(f"{size / 1e9:.2f} GB of weights in {stored}, exported in {precision} for {target}")
        _export(checkpoint, folder / "repository", Options(target, precision))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_transformer(folder: Path, layers: int, width: int, dtype: torch.dtype) -> int:
    """A WanTransformer3DModel with 128 values per head, as in Wan2.2-A14B; its bytes."""
    from diffusers import WanTransformer3DModel

    with torch.device("meta"):
        module = WanTransformer3DModel(
            num_attention_heads=width // 128,
            attention_head_dim=128,
            ffn_dim=width * 27 // 10,
            num_layers=layers,
            text_dim=_text_width(width),
        )
    module.save_config(folder)
    return _write(folder / "diffusion_pytorch_model.safetensors", module, dtype)


def write_text_encoder(folder: Path, layers: int, width: int, vocabulary: int, dtype: torch.dtype) -> int:
    """The UMT5EncoderModel beside a transformer of that width; its bytes."""
    from transformers import UMT5Config, UMT5EncoderModel

    text = _text_width(width)
    config = UMT5Config(
        architectures=["UMT5EncoderModel"],
        vocab_size=vocabulary,
        d_model=text,
        d_kv=64,
        d_ff=text * 5 // 2,
        num_layers=layers,
        num_heads=text // 64,
        feed_forward_proj="gated-gelu",
    )
    with torch.device("meta"):
        module = UMT5EncoderModel(config)
    config.save_pretrained(folder)
    return _write(folder / "model.safetensors", module, dtype)


def _text_width(width: int) -> int:
    return width * 4 // 5


def _write(file: Path, module: nn.Module, dtype: torch.dtype) -> int:
    entries = describe_module(module, dtype)
    write_random(file, entries, header_bytes(entries, {"format": "pt"}))
    return bytes_of(entries)


def _export(checkpoint: Path, repository: Path, options: Options) -> None:
    command = [sys.executable, "-m", "export", str(checkpoint), "--to", str(repository)]
    command += ["--target", options.target, "--precision", options.precision]
    started = time.monotonic()
    process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    together = single = 0
    while process.poll() is None:
        family = [one.pid for one in _family(process)]
        together = max(together, sum(anonymous_bytes(pid) for pid in family))
        single = max(single, *(anonymous_bytes(pid, shared=True) for pid in family), 0)
        time.sleep(0.2)
    assert process.stdout is not None
    print(process.stdout.read())
    print(
        f"{time.monotonic() - started:.0f} s; peak anonymous memory: {together / 1e9:.2f} GB of all processes, "
        f"{single / 1e9:.2f} GB of the largest with what it shares"
    )
    if process.returncode:
        raise typer.Exit(process.returncode)
    for source in sorted(repository.glob("*/1/source.json")):
        files = json.loads(source.read_text())["files"]
        print(source.parent.parent.name, ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in files.items()))


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def anonymous_bytes(pid: int, shared: bool = False) -> int:
    """Memory of a process that is no file's; 0 when it has ended.

    Args:
        shared: pages that it shares with the process that it was forked from count in full, and not in parts.
    """
    file, name = ("status", "RssAnon") if shared else ("smaps_rollup", "Pss_Anon")
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text())
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0


if __name__ == "__main__":
    typer.run(main)
