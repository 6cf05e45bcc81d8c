"""The nodes in a real ComfyUI, whose folder COMFYUI names and whose Python COMFYUI_PYTHON: left out of `make test`."""

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from PIL import Image
from websockets.sync.client import connect

from tests.frontend.fake_generator import FakeGenerator
from tests.integrations.comfyui.comfy_modules import NODES
from tests.ports import free_port
from tests.server.conftest import server
from tests.server.running_server import RunningServer
from tests.waiting import SECONDS, wait_until

__all__ = ["server"]

pytestmark = pytest.mark.comfyui


@dataclass
class Heard:
    """What ComfyUI tells whoever has queued a workflow."""

    events: list[dict[str, Any]] = field(default_factory=list)
    previews: list[bytes] = field(default_factory=list)

    @property
    def last(self) -> str:
        return str(self.events[-1]["type"]) if self.events else ""


class ComfyUI:
    """`main.py`, without a page and a GPU, with the nodes linked into its `custom_nodes`."""

    def __init__(self, folder: Path, tritonreel: str) -> None:
        self.folder = folder
        port = free_port()
        self.url = f"127.0.0.1:{port}"
        (folder / "custom_nodes").mkdir(parents=True)
        (folder / "custom_nodes" / "tritonreel").symlink_to(NODES)
        program = Path(os.environ["COMFYUI"])
        command = [os.environ.get("COMFYUI_PYTHON", str(program / ".venv" / "bin" / "python")), "main.py", "--cpu"]
        options = ["--listen", "127.0.0.1", "--port", str(port), "--base-directory", str(folder)]
        self._log = folder / "comfyui.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *options, "--database-url", f"sqlite:///{folder}/comfyui.db", "--disable-api-nodes"],
                cwd=program,
                env=os.environ
                | {"TRITONREEL_URL": tritonreel, "NO_PROXY": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, what="ComfyUI")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            print(self._log.read_text()[-3000:])

    def get(self, path: str) -> Any:
        return httpx.get(f"http://{self.url}{path}", timeout=SECONDS).json()

    def play(self, workflow: dict[str, Any], *, at_progress: Callable[[], object] | None = None) -> Heard:
        """Queue a workflow, and listen until it has ended.

        Args:
            at_progress: called when the first progress is told.
        """
        heard, client = Heard(), uuid.uuid4().hex
        with connect(f"ws://{self.url}/ws?clientId={client}", max_size=None, proxy=None) as socket:
            answer = httpx.post(f"http://{self.url}/prompt", json={"prompt": workflow, "client_id": client}, timeout=60)
            assert answer.status_code == 200, answer.text
            while heard.last not in ("execution_success", "execution_error", "execution_interrupted"):
                message = socket.recv(SECONDS)
                if isinstance(message, bytes):
                    heard.previews.append(message[8:])  # behind its type and format
                    continue
                heard.events.append(json.loads(message))
                if at_progress is not None and heard.last == "progress":
                    at_progress()
                    at_progress = None
        return heard

    def press_cancel(self) -> None:
        httpx.post(f"http://{self.url}/interrupt", json={})

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return httpx.get(f"http://{self.url}/system_stats").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def comfyui_of(folder: Path, url: str) -> Iterator[ComfyUI]:
    """One whose nodes ask the server at a URL."""
    if "COMFYUI" not in os.environ:
        pytest.fail("set COMFYUI to the folder of a ComfyUI, and COMFYUI_PYTHON to the Python that runs it")
    comfyui = ComfyUI(folder, url)
    try:
        yield comfyui
    finally:
        comfyui.stop()


@pytest.fixture
def comfyui(url: str, tmp_path: Path) -> Iterator[ComfyUI]:
    with comfyui_of(tmp_path / "comfyui", url) as comfyui:
        yield comfyui


def workflow(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((NODES / "workflows" / f"{name}.json").read_text())
    return loaded


def test_workflows_previews_and_the_cancel_button(
    comfyui: ComfyUI, url: str, generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = comfyui.get("/object_info")
    assert known["TritonreelTextToVideo"]["input"]["required"]["model"][0] == ["auto", "toy-wan-t2v"]
    assert known["TritonreelTextToVideo"]["output"] == ["IMAGE", "FLOAT", "VIDEO"]
    assert known["TritonreelLora"]["input"]["required"]["name"][0] == ["ink", "fog"]

    assert comfyui.play(workflow("text_to_image")).last == "execution_success"
    (image,) = (comfyui.folder / "output" / "tritonreel").glob("image_*.png")
    with Image.open(image) as opened:
        assert opened.size == (64, 48)

    generator.previews = 2
    generator.previews_gate.clear()
    heard = comfyui.play(workflow("text_to_video"), at_progress=generator.previews_gate.set)
    assert heard.last == "execution_success"
    assert [event["data"]["value"] for event in heard.events if event["type"] == "progress"][-1] == 100
    assert heard.previews
    assert all(preview.startswith(b"\xff\xd8") for preview in heard.previews)  # JPEG
    generator.previews = 0
    videos = list((comfyui.folder / "output" / "tritonreel").glob("video_*.mp4"))
    assert len(videos) == 1
    with av.open(str(videos[0])) as container:
        assert len(list(container.decode(video=0))) == 9

    assert comfyui.play(workflow("image_to_video")).last == "execution_success"
    assert list(generator.jobs.values())[-1].image is not None

    with_adapters = workflow("lora")
    with_adapters["1"]["inputs"]["url"] = url
    assert comfyui.play(with_adapters).last == "execution_success"
    assert [(lora.name, lora.scale) for lora in list(generator.jobs.values())[-1].lora] == [("ink", 0.8), ("fog", 0.5)]

    done = len(generator.jobs)
    assert comfyui.play(with_adapters).last == "execution_success"
    assert len(generator.jobs) == done  # nothing has changed: ComfyUI has it still

    generator.step_gate.clear()
    stopped = workflow("text_to_video")
    stopped["1"]["inputs"]["seed"] = 8
    jobs = httpx.get(f"{url}/v1/jobs").json()["data"]
    heard = comfyui.play(stopped, at_progress=comfyui.press_cancel)
    assert heard.last == "execution_interrupted"
    wait_until(lambda: len(generator.cancelled) == 1)
    generator.step_gate.set()
    assert httpx.get(f"{url}/v1/jobs").json()["data"] == jobs

    refused = workflow("text_to_video")
    refused["1"]["inputs"]["width"] = 24
    refused["1"]["inputs"]["height"] = 24
    heard = comfyui.play(refused)
    assert heard.last == "execution_error"
    assert "multiple" in heard.events[-1]["data"]["exception_message"]


def test_a_real_tritonserver(server: RunningServer, tmp_path: Path) -> None:
    """The trained toy checkpoint."""
    with comfyui_of(tmp_path / "comfyui", server.url) as comfyui:
        heard = comfyui.play(workflow("text_to_video"))
        assert heard.last == "execution_success", heard.events[-1]
        (file,) = (comfyui.folder / "output" / "tritonreel").glob("*.mp4")
        with av.open(str(file)) as container:
            assert len(list(container.decode(video=0))) == 9

        long = workflow("text_to_video")
        long["1"]["inputs"] |= {"num_inference_steps": 200, "seed": 8}
        assert comfyui.play(long, at_progress=comfyui.press_cancel).last == "execution_interrupted"
        jobs = httpx.get(f"{server.url}/v1/jobs").json()["data"]
        assert [job["status"] for job in jobs] == ["completed"]
