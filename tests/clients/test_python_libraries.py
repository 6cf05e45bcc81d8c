"""Libraries that make images, and one that makes videos, through OpenAI's API."""

from pathlib import Path

from tests.clients.snippets import image_size, num_frames, run, snippet

QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else it looks for prices on the internet first


def test_litellm_makes_images_and_videos(libraries: Path, url: str, tmp_path: Path) -> None:
    run([libraries, "-c", snippet("LiteLLM", "python")], tmp_path, url, **QUIET)
    assert image_size(tmp_path / "image.png") == ("PNG", (64, 48))
    assert num_frames(tmp_path / "video.mp4") == 9


def test_langchains_tool_makes_images(libraries: Path, url: str, tmp_path: Path) -> None:
    run([libraries, "-c", snippet("LangChain", "python")], tmp_path, url)
    assert image_size(tmp_path / "image.png") == ("PNG", (1024, 1024))


def test_llamaindexs_tool_makes_images(libraries: Path, url: str, tmp_path: Path) -> None:
    run([libraries, "-c", snippet("LlamaIndex", "python")], tmp_path, url)
    assert image_size(tmp_path / "image.png") == ("PNG", (1024, 1024))
