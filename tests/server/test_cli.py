"""`tritonreel` against the whole server, with the trained toy checkpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av

from tests.conftest import ROOT
from tests.server.running_server import RunningServer


def run(server: RunningServer, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TRITONREEL_URL": server.url, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


def test_a_video_and_how_quickly(server: RunningServer, tmp_path: Path) -> None:
    models = run(server, tmp_path, "models")
    assert "toy-wan-t2v" in models.stdout

    done = run(server, tmp_path, "video", "a red circle moves right", "--seed", "3", "-o", "circle.mp4")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "circle.mp4: 64x64, 9 frames at 8 fps, toy-wan-t2v, seed 3\n"
    with av.open(str(tmp_path / "circle.mp4")) as container:
        assert len(list(container.decode(video=0))) == 9

    refused = run(server, tmp_path, "video", "x", "--size", "63x64")
    assert refused.returncode == 1
    assert "multiple" in refused.stderr

    bench = run(server, tmp_path, "bench", "-r", "4", "-c", "2", "--json")
    assert bench.returncode == 0, bench.stderr
    result = json.loads(bench.stdout)
    assert (result["requests"], result["errors"]) == (4, {})
    assert result["frames_per_second"] > 0
