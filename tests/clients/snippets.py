"""The programs of docs/clients.md, run as they stand there against a scripted server."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
from PIL import Image

from frontend.app import create_app
from frontend.settings import Settings
from tests.conftest import ROOT
from tests.frontend.conftest import NOWHERE, running, url_of
from tests.frontend.fake_generator import FakeGenerator
from tests.model_cards import image_to_video_card, model_card, text_to_image_card

SECONDS = 300
KEY = "a-key-for-clients"
_HIDDEN = ("TRITONREEL_", "OPENAI_", "PYTHON", "VIRTUAL_ENV")
"""what begins so in the environment of the tests is none of the clients' business"""


def snippet(client: str, language: str) -> str:
    """The first program in that language below the heading of a client."""
    page = (ROOT / "docs" / "clients.md").read_text()
    (section,) = re.findall(rf"^## {re.escape(client)}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    return str(re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)[0])


@contextmanager
def scripted_server(folder: Path) -> Iterator[str]:
    """The URL of a server that asks for `KEY` and has the models of the page; its files are in `folder`."""
    cards = [model_card("wan2.2-t2v-a14b"), image_to_video_card("wan2.2-i2v-a14b"), text_to_image_card("qwen-image")]
    settings = Settings.model_validate(
        {
            "triton_metrics_url": NOWHERE,
            "api_key": KEY,
            "model_aliases": "gpt-image-1=qwen-image,dall-e-3=qwen-image",
            "storage": str(folder / "storage"),
        }
    )
    with running(create_app(settings, FakeGenerator(cards))) as server:
        yield url_of(server)


def run(command: Sequence[str | Path], folder: Path, url: str, **environment: str) -> str:
    """What a program says that runs in `folder` and ends well."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_HIDDEN)}
    wanted = {"TRITONREEL_URL": url, "TRITONREEL_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=inherited | wanted | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def image_size(path: Path) -> tuple[str | None, tuple[int, int]]:
    """Format, and width and height in pixels."""
    with Image.open(path) as image:
        return image.format, image.size


def num_frames(path: Path) -> int:
    with av.open(str(path), "r") as container:
        return sum(1 for _ in container.decode(video=0))
