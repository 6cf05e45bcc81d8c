"""Vercel's AI SDK."""

from pathlib import Path

from tests.clients.snippets import image_size, run, snippet


def test_it_makes_images(node_modules: Path, url: str, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules)
    (tmp_path / "program.mjs").write_text(snippet("Vercel's AI SDK", "js"))
    run(["node", "program.mjs"], tmp_path, url)
    assert image_size(tmp_path / "image.png") == ("PNG", (1024, 1024))
