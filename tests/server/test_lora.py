"""Adapters through the whole server: applied in the transformers' processes, checked before a job exists."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from pipelines.ensemble.in_process import InProcess
from pipelines.lora.folder import LoraFolder
from pipelines.lora.targets import read_targets
from tests.adapters import extracted, random_differences, random_matrices, save, save_diffusers
from tests.conftest import Exported

from .grpc_client import Generated, GenerateError, generate
from .running_server import RunningServer

REQUEST: dict[str, Any] = {"prompt": "a red circle", "seed": 5, "width": 64, "height": 48}
MODEL = "tiny-two-experts"


@pytest.fixture(scope="module")
def exported(tiny: Callable[[str], Exported]) -> Exported:
    return tiny("two-experts")


@pytest.fixture(scope="module")
def folder(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "мои loras 国风"
    targets = read_targets(exported.repository / "generate" / "1" / "wan_t2v")["transformer"]
    sizes = targets.layers
    save_diffusers(folder / "ink.safetensors", random_matrices(sizes, 4, seed=1))
    save_diffusers(folder / "foil.safetensors", random_matrices(sizes, 8, seed=2, only="attn"))
    save_diffusers(folder / "flux.safetensors", random_matrices({"single_blocks.0.linear1": (4, 4)}, 2, seed=3))
    save_diffusers(folder / "国风 水墨.safetensors", random_matrices(sizes, 4, seed=5))
    save_diffusers(folder / "Pinselstärke" / "pytorch_lora_weights.safetensors", random_matrices(sizes, 4, seed=6))
    lacking = {f"diffusion_model.blocks.{i}.cross_attn.k_img.diff_b": torch.ones(8) for i in range(2)}
    save(folder / "whole.safetensors", extracted(random_differences(targets, ["proj_out"])) | lacking)
    (folder / "notes.safetensors").write_text("not one")
    save_diffusers(folder.parent / "secret.safetensors", random_matrices(sizes, 2, seed=4))
    return folder


@pytest.fixture(scope="module")
def lora_server(exported: Exported, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    options = ("--model", MODEL, "--lora-dir", str(folder))
    with RunningServer(exported.repository, tmp_path_factory.mktemp("run"), *options) as running:
        yield running


async def make(server: RunningServer, lora: Any) -> Generated:
    return await generate(server.grpc, **REQUEST, lora=lora)


LORAS: list[list[dict[str, Any]]] = [
    [{"name": "ink"}],
    [{"name": "foil", "scale": 0.5}],
    [{"name": "国风 水墨"}],
    [{"path": "Pinselstärke"}, {"name": "whole"}],
    [{"high": "ink", "low": "foil.safetensors", "scale": 0.8}, {"path": "foil.safetensors", "scale": -0.3}],
    [],
]


async def test_jobs_with_different_adapters_at_once_are_each_what_they_should_be(
    lora_server: RunningServer, exported: Exported, folder: Path
) -> None:
    """Within one 8-bit level of the sampling code in this process, which is compared with diffusers elsewhere."""
    videos = await asyncio.gather(*(make(lora_server, lora) for lora in LORAS * 2))
    in_process = InProcess(exported.repository, exported.model, LoraFolder(folder))
    expected = [await asyncio.to_thread(in_process.frames, in_process.params(**REQUEST, lora=lora)) for lora in LORAS]
    for lora, video, (frames,) in zip(LORAS * 2, videos, expected * 2, strict=True):
        assert video.info["spec"]["lora"] == [{"scale": 1.0, **one} for one in lora]
        assert np.abs(video.frames - (frames * 255).round()).max() <= 1
    for (one,), (other,) in pairwise(expected):
        assert np.abs(one - other).max() > 0.05


async def test_every_adapter_is_listed_with_what_it_fits(lora_server: RunningServer, folder: Path) -> None:
    """And with why it fits nothing; whatever is in the folder."""
    info = (await generate(lora_server.grpc, task="loras")).info
    listed = {one.pop("name"): one for one in info["loras"]}
    sizes = {path.stem: path.stat().st_size for path in folder.glob("*.safetensors")}
    for name, rank in {"foil": 8, "ink": 4, "国风 水墨": 4, "whole": 0}.items():
        assert listed[name] == {"rank": rank, "bytes": sizes[name], "models": [MODEL]}
    assert listed["Pinselstärke"]["models"] == [MODEL]
    assert listed["flux"] == {
        "rank": 2,
        "bytes": sizes["flux"],
        "models": [],
        "error": f"adapter 'flux.safetensors' does not fit {MODEL}: "
        "transformer has no linear layer single_blocks.0.linear1",
    }
    assert listed["notes"] == {
        "bytes": sizes["notes"],
        "models": [],
        "error": "adapter 'notes' cannot be used: it is not a safetensors file, or it is cut off",
    }
    assert len(listed) == 7
    answer = httpx.get(f"{lora_server.url}/v1/loras").json()["data"]
    assert {one.pop("name"): one for one in answer} == {n: {**one, "object": "lora"} for n, one in listed.items()}


def test_what_is_left_out_of_an_adapter_is_a_warning(lora_server: RunningServer) -> None:
    response = lora_server.post(**REQUEST, n=2, lora=[{"name": "whole"}, {"lora_name": "a label", "local_path": "ink"}])
    assert response.status_code == 200, response.text
    assert response.json()["warnings"] == [
        f"adapter 'whole.safetensors': left out what {MODEL} lacks: blocks.0.cross_attn.k_img (2 alike)"
    ]
    applied = response.json()["params"]["lora"]
    assert [(one["name"], one["path"], one["scale"]) for one in applied] == [("whole", None, 1.0), (None, "ink", 1.0)]


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"name": "nobody"}, "no adapter 'nobody'; there are: Pinselstärke, flux, foil, ink, notes, whole, 国风 水墨"),
        ({"path": "../secret.safetensors"}, "no adapter '../secret.safetensors'"),
        ({"name": "flux"}, f"adapter 'flux.safetensors' does not fit {MODEL}: transformer has no linear layer single_"),
        ({"name": "notes"}, "adapter 'notes' cannot be used: it is not a safetensors file, or it is cut off"),
    ],
)
def test_what_cannot_be_applied_is_a_400_that_says_why(lora: Any, message: str, lora_server: RunningServer) -> None:
    response = lora_server.post(prompt="x", lora=lora)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "lora"
    assert message in error["message"]


async def test_a_lora_that_is_no_object_is_refused(lora_server: RunningServer) -> None:
    with pytest.raises(GenerateError, match=r"invalid_request\[lora\]: .*valid tuple"):
        await generate(lora_server.grpc, **REQUEST, lora="{")
