"""The programs of docs/clients.md whose packages are in the development environment; `tests/clients` has the others."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.snippets import image_size, num_frames, run, scripted_server, snippet

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with scripted_server(tmp_path_factory.mktemp("kept")) as url:
        yield url


def test_openais_python_package(url: str, tmp_path: Path) -> None:
    run([sys.executable, "-c", snippet("openai (Python)", "python")], tmp_path, url)
    assert image_size(tmp_path / "image.png") == ("PNG", (64, 48))
    assert num_frames(tmp_path / "video.mp4") == 9


def test_openais_node_package(url: str, tmp_path: Path) -> None:
    modules = Path(sys.prefix) / "node" / "node_modules"
    if not modules.exists() or shutil.which("node") is None:
        pytest.skip("no Node SDK")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "program.mjs").write_text(snippet("openai (Node)", "js"))
    run(["node", "program.mjs"], tmp_path, url)
    assert image_size(tmp_path / "image.png") == ("PNG", (64, 48))
    assert num_frames(tmp_path / "video.mp4") == 9
