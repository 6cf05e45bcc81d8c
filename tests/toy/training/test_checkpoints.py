"""The bundled checkpoints: small, in half precision, and with autoencoders that keep what is drawn."""

import re
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file

from export.defaults import read_defaults
from toy.training.vae_scores import HeldOut, reconstruct, scores

FOLDERS = sorted((Path(__file__).parents[3] / "toy" / "checkpoints").iterdir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_is_small_in_half_precision_and_names_itself(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 12_000_000
    weights = [load_file(path) for path in files if path.suffix == ".safetensors"]
    assert {tensor.dtype for part in weights for tensor in part.values()} == {torch.float16}
    assert read_defaults(folder).id == folder.name
    # where it was trained is nobody's business
    assert not [path for path in files if path.suffix == ".json" and re.search(r'": "/', path.read_text())]


@pytest.mark.parametrize("name", ["toy-wan-t2v", "toy-wan-ti2v"])
def test_the_autoencoder_gives_held_out_videos_back(name: str) -> None:
    vae = AutoencoderKLWan.from_pretrained(FOLDERS[0].parent / name / "vae", torch_dtype=torch.float32)
    held_out = HeldOut.draw(4242, 24)
    found = scores(held_out, reconstruct(vae, held_out.videos))
    assert found["psnr"] >= 29
    assert (found["shape"], found["colour"], found["motion"]) == (1, 1, 1)
