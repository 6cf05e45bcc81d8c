"""NVIDIA's load generator."""

import json
from pathlib import Path

from tests.clients.snippets import run, snippet


def test_it_measures_videos_and_images(aiperf: Path, libraries: Path, url: str, tmp_path: Path) -> None:
    (tokenizers,) = libraries.parents[1].glob("lib/python*/site-packages/litellm/litellm_core_utils/tokenizers")
    environment = {
        "PATH": f"{aiperf}:/usr/bin:/bin",
        "TIKTOKEN_CACHE_DIR": str(tokenizers),  # which has the one that is fetched from the internet otherwise
    }
    run(["bash", "-e", "-c", snippet("AIPerf", "sh")], tmp_path, url, **environment)
    reports = [json.loads(path.read_text()) for path in tmp_path.glob("artifacts/*/profile_export_aiperf.json")]
    assert len(reports) == 2
    for report in reports:
        assert report["request_count"]["avg"] == 2
        assert report["request_latency"]["avg"] > 0
