"""The nodes, called as ComfyUI calls them, against a real server."""

import ast
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import torch
from pydantic import SecretStr

from frontend.app import create_app
from frontend.settings import Settings
from protocol.errors import ModelFailed
from protocol.lora import LoraRequest
from protocol.sampling import ImageOptions, VideoOptions
from tests.frontend.conftest import NOWHERE, serving_app
from tests.frontend.fake_generator import FakeGenerator
from tests.integrations.comfyui.comfy_modules import NODES, ComfyModules, InterruptProcessingException
from tests.waiting import wait_until

GENERATIONS = ("TritonreelTextToImage", "TritonreelTextToVideo", "TritonreelImageToVideo")
KEY = "the-key-of-the-server"
OF_COMFYUI = {"av", "comfy", "comfy_api", "numpy", "PIL", "torch"}
"""beside Python's own modules"""


@pytest.fixture
def comfy() -> ComfyModules:
    return ComfyModules()


@pytest.fixture
def nodes(comfy: ComfyModules, url: str) -> Iterator[dict[str, Any]]:
    """By name."""
    with comfy.nodes() as package:
        yield package.NODE_CLASS_MAPPINGS


def call(node: Any, **widgets: Any) -> Any:
    """As ComfyUI's executor: with the default of every widget that is not given."""
    types = node.INPUT_TYPES()
    defaults = {}
    for name, (kind, *options) in types["required"].items():
        if options and "default" in options[0]:
            defaults[name] = options[0]["default"]
        elif isinstance(kind, list):
            defaults[name] = kind[0]
        elif kind == "STRING":
            defaults[name] = ""
    given = defaults | widgets
    assert given.keys() >= types["required"].keys()
    return getattr(node(), node.FUNCTION)(**given)


def test_the_contract(nodes: dict[str, Any], comfy: ComfyModules) -> None:
    with comfy.nodes() as package:
        assert package.NODE_DISPLAY_NAME_MAPPINGS.keys() == nodes.keys()
    for node in nodes.values():
        types = node.INPUT_TYPES()
        assert types.keys() <= {"required", "optional", "hidden"}
        for kind, *options in [*types["required"].values(), *types.get("optional", {}).values()]:
            assert isinstance(kind, list) or kind.isupper()
            assert not options or isinstance(options[0], dict)
        assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
        assert callable(getattr(node, node.FUNCTION))
        assert node.CATEGORY == "Tritonreel"


def test_no_widget_has_a_key(nodes: dict[str, Any]) -> None:
    """Workflows are shared, with every widget's value in them."""
    names = [name for node in nodes.values() for group in node.INPUT_TYPES().values() for name in group]
    assert not [name for name in names if "key" in name or "token" in name]


def test_lists_are_the_servers(nodes: dict[str, Any]) -> None:
    models = {name: nodes[name].INPUT_TYPES()["required"]["model"][0] for name in GENERATIONS}
    assert models == {
        "TritonreelTextToImage": ["auto", "toy-qwen-image"],
        "TritonreelTextToVideo": ["auto", "toy-wan-t2v"],
        "TritonreelImageToVideo": ["auto", "toy-wan-i2v"],
    }
    assert nodes["TritonreelLora"].INPUT_TYPES()["required"]["name"][0] == ["ink", "fog"]


def test_lists_without_a_server(comfy: ComfyModules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONREEL_URL", NOWHERE.removesuffix("/metrics"))
    with comfy.nodes() as package:
        nodes = package.NODE_CLASS_MAPPINGS
        assert nodes["TritonreelTextToImage"].INPUT_TYPES()["required"]["model"][0] == ["auto"]
        assert nodes["TritonreelLora"].INPUT_TYPES()["required"]["name"][0] == ["(none)"]
        with pytest.raises(RuntimeError, match=r"no server answers at http://127\.0\.0\.1:9"):
            call(nodes["TritonreelTextToImage"], prompt="x")


def test_bounds_are_those_of_the_fields(nodes: dict[str, Any]) -> None:
    """A widget has one value more, which leaves the field to the model."""
    for name in GENERATIONS:
        model = ImageOptions if name == "TritonreelTextToImage" else VideoOptions
        schema = model.model_json_schema()["properties"]
        for field, (kind, *options) in nodes[name].INPUT_TYPES()["required"].items():
            if kind not in ("INT", "FLOAT") or field not in schema or field == "seed":
                continue
            (bounds,) = [one for one in schema[field]["anyOf"] if one["type"] != "null"]
            assert (bounds["maximum"], field) == (options[0]["max"], field)
            assert options[0]["min"] < bounds["minimum"]
            assert options[0]["default"] == options[0]["min"]
    scale = nodes["TritonreelLora"].INPUT_TYPES()["required"]["scale"][1]
    bounds = LoraRequest.model_json_schema()["properties"]["scale"]
    assert (scale["min"], scale["max"], scale["default"]) == (bounds["minimum"], bounds["maximum"], bounds["default"])


def test_images(nodes: dict[str, Any], generator: FakeGenerator) -> None:
    (images,) = call(
        nodes["TritonreelTextToImage"], prompt="a fox", seed=7, n=2, width=32, height=16, true_cfg_scale=2.0
    )

    assert (images.shape, images.dtype) == (torch.Size([2, 16, 32, 3]), torch.float32)
    jobs = [job.model_dump() for job in generator.jobs.values()]
    assert [(job["prompt"], job["seed"], job["true_cfg_scale"]) for job in jobs] == [
        ("a fox", 7, 2.0),
        ("a fox", 8, 2.0),
    ]
    assert jobs[0]["num_inference_steps"] == 3  # the model's own


def test_a_video(nodes: dict[str, Any], generator: FakeGenerator) -> None:
    frames, fps, video = call(
        nodes["TritonreelTextToVideo"], prompt="a fox", negative_prompt="", num_frames=5, fps=4.0, guidance_scale=0.0
    )

    assert (frames.shape, frames.dtype, fps) == (torch.Size([5, 48, 64, 3]), torch.float32, 4.0)
    with av.open(video.file) as container:
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert torch.equal(frames, torch.from_numpy(decoded).float() / 255)
    (job,) = [job.model_dump() for job in generator.jobs.values()]
    assert (job["guidance_scale"], job["negative_prompt"], job["seed"]) == (0.0, "ugly", 0)


def test_a_video_from_an_image_with_adapters(nodes: dict[str, Any], generator: FakeGenerator) -> None:
    image = torch.zeros(1, 48, 64, 3)
    image[..., 0] = 1.0
    (first,) = call(nodes["TritonreelLora"], name="ink", scale=0.5)
    (both,) = call(nodes["TritonreelLora"], name="fog", loras=first)

    frames, *_ = call(nodes["TritonreelImageToVideo"], image=image, prompt="it runs", loras=both)

    assert frames.shape == torch.Size([9, 48, 64, 3])
    (job,) = generator.jobs.values()
    assert job.image is not None
    assert (job.image == [255, 0, 0]).all()
    assert [(lora.name, lora.scale) for lora in job.lora] == [("ink", 0.5), ("fog", 1.0)]


def test_a_comfyui_without_videos(url: str) -> None:
    with ComfyModules(has_videos=False).nodes() as package:
        node = package.NODE_CLASS_MAPPINGS["TritonreelTextToVideo"]
        assert node.RETURN_TYPES == ("IMAGE", "FLOAT")
        assert len(call(node, prompt="a fox")) == 2


def test_progress_and_previews(nodes: dict[str, Any], comfy: ComfyModules, generator: FakeGenerator) -> None:
    generator.previews = 2
    generator.previews_gate.clear()

    def go_on() -> None:
        wait_until(lambda: bool(comfy.told))
        generator.previews_gate.set()

    threading.Thread(target=go_on).start()

    call(nodes["TritonreelTextToVideo"], prompt="a fox")

    values = [value for value, _, _ in comfy.told]
    assert values == sorted(values)
    assert values[-1] == 100
    previews = [preview for _, _, preview in comfy.told if preview is not None]
    assert {(format, most) for format, _, most in previews} == {("JPEG", 512)}
    assert all(image.mode == "RGB" for _, image, _ in previews)
    assert previews


def test_the_button_stops_the_job_at_the_server(
    url: str, nodes: dict[str, Any], comfy: ComfyModules, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()

    def press() -> None:
        wait_until(lambda: bool(generator.jobs))
        comfy.interrupted = True

    threading.Thread(target=press).start()
    with pytest.raises(InterruptProcessingException):
        call(nodes["TritonreelTextToVideo"], prompt="a fox")

    wait_until(lambda: len(generator.cancelled) == 1)
    assert httpx.get(f"{url}/v1/jobs").json()["data"] == []


def test_what_the_server_refuses(nodes: dict[str, Any], generator: FakeGenerator) -> None:
    with pytest.raises(RuntimeError, match="multiple"):
        call(nodes["TritonreelTextToImage"], prompt="x", width=24, height=16)
    generator.error_for = lambda spec: ModelFailed("it fell \x1b[2J over")
    with pytest.raises(RuntimeError) as failed:
        call(nodes["TritonreelTextToImage"], prompt="x")
    assert "\x1b" not in str(failed.value)


def test_what_comfyui_asks_before_it_runs(nodes: dict[str, Any]) -> None:
    node = nodes["TritonreelTextToVideo"]
    assert node.VALIDATE_INPUTS(model="of another server", prompt="a fox") is True
    assert node.VALIDATE_INPUTS(model="auto", prompt=" \n") == "prompt must have text"
    assert node.VALIDATE_INPUTS(model="auto", prompt=None) is True  # it comes from another node
    assert nodes["TritonreelLora"].VALIDATE_INPUTS(name="ink") is True
    assert nodes["TritonreelLora"].VALIDATE_INPUTS(name="(none)") != True  # noqa: E712
    assert node.IS_CHANGED(seed=7, prompt="x") == node.IS_CHANGED(seed=7, prompt="x")
    drawn = node.IS_CHANGED(seed=-1, prompt="x")
    assert drawn != drawn


def test_a_seed_that_the_server_draws(nodes: dict[str, Any], generator: FakeGenerator) -> None:
    for _ in range(2):
        call(nodes["TritonreelTextToImage"], prompt="x", seed=-1)
    seeds = {job.seed for job in generator.jobs.values()}
    assert len(seeds) == 2
    assert min(seeds) >= 0


@pytest.fixture
def locked(generator: FakeGenerator, tmp_path: Path) -> Iterator[str]:
    """Of a server that asks for a key."""
    settings = Settings(triton_metrics_url=NOWHERE, keys_file=tmp_path / "none.json", api_key=SecretStr(KEY))
    with serving_app(create_app(settings, generator)) as url:
        yield url


def test_the_key_is_shown_to_the_server_of_the_environment_alone(
    locked: str, comfy: ComfyModules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workflow of somebody else's may name a server of theirs."""
    monkeypatch.setenv("TRITONREEL_API_KEY", KEY)
    monkeypatch.setenv("TRITONREEL_URL", locked)
    with comfy.nodes() as package:
        nodes = package.NODE_CLASS_MAPPINGS
        (server,) = call(nodes["TritonreelServer"], url=f"{locked}/")
        assert call(nodes["TritonreelTextToImage"], prompt="x", server=server)[0].shape == torch.Size([1, 48, 64, 3])
        monkeypatch.setenv("TRITONREEL_URL", "http://127.0.0.1:9")
        with pytest.raises(RuntimeError, match="TRITONREEL_API_KEY and TRITONREEL_URL"):
            call(nodes["TritonreelTextToImage"], prompt="x", server=server)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "127.0.0.1:8000", "http://user:word@127.0.0.1"])
def test_a_url_that_cannot_be_a_servers(comfy: ComfyModules, url: str) -> None:
    with comfy.nodes() as package, pytest.raises(RuntimeError, match=r"must be like http://127\.0\.0\.1:8000"):
        call(package.NODE_CLASS_MAPPINGS["TritonreelServer"], url=url)


def test_nothing_is_imported_that_comfyui_lacks() -> None:
    found = set()
    for file in NODES.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).split(".")[0])
    assert found - sys.stdlib_module_names == OF_COMFYUI


@pytest.mark.parametrize("file", sorted((NODES / "workflows").glob("*.json")), ids=lambda file: file.stem)
def test_workflows_use_the_nodes_as_they_are(nodes: dict[str, Any], file: Path) -> None:
    for step in json.loads(file.read_text()).values():
        if step["class_type"] not in nodes:
            continue
        types = nodes[step["class_type"]].INPUT_TYPES()
        assert types["required"].keys() <= step["inputs"].keys()
        assert step["inputs"].keys() <= types["required"].keys() | types.get("optional", {}).keys()
