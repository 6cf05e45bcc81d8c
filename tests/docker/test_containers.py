"""The containers of compose.yaml on an engine of the tests' own, with stand-ins for what comes from registries.

The tests go on from one another, in the order of this file.
"""

import io
import json
import shutil
import socket
import time
from pathlib import Path

import av
import httpx
import numpy as np
import numpy.typing as npt
import pytest
import yaml
from PIL import Image
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from tests.conftest import ROOT
from tests.docker.engine import Engine
from tests.docker.project import GATEWAY, Project, kill
from tests.launcher import doors
from tests.otlp_collector import Collector
from tests.waiting import wait_until

LONG = {"model": "toy-wan-t2v", "size": "128x128", "num_frames": 33, "num_inference_steps": 60}
"""a job of some tens of seconds"""
PROMPT = "a red circle moving right on a black background"
MAX_FRONTEND_MB = 400
STOP_SECONDS = 20
"""`stop_grace_period` of the frontend"""


def frames_of(mp4: bytes) -> npt.NDArray[np.uint8]:
    """uint8 [frames, height, width, 3]"""
    with av.open(io.BytesIO(mp4), "r") as container:
        assert container.streams.video[0].codec_context.name == "h264"
        frames: npt.NDArray[np.uint8] = np.stack(
            [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        )
    return frames


def test_the_frontends_image_is_small_and_has_no_torch(built: Project) -> None:
    size = int(built.engine.run("image", "inspect", "--format", "{{.Size}}", "tritonreel/frontend:0.1.0"))
    print(f"frontend: {size / 1e6:.0f} MB")
    assert size < MAX_FRONTEND_MB * 1e6
    found = built.engine.run(
        *("run", "--rm", "--network=none", "tritonreel/frontend:0.1.0", "python", "-c"),
        "import frontend.app, importlib.util as i, os\n"
        "print(os.getuid(), [name for name in ('torch', 'pip') if i.find_spec(name)])",
    )
    assert found == "10001 []\n"


def test_a_change_of_code_builds_in_seconds(built: Project, tmp_path: Path) -> None:
    for file in (
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
        ".dockerignore",
        "docker/requirements.py",
    ):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    for package in ("frontend", "protocol", "tracing"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "frontend" / "app.py").open("a") as code:
        code.write("\n# changed\n")
    began = time.monotonic()
    built.engine.run("build", "--quiet", "--network=host", "-f", ROOT / "docker/frontend.Dockerfile", tmp_path)
    seconds = time.monotonic() - began
    print(f"build after a change of code: {seconds:.0f} s")
    assert seconds < 60


def test_a_video(project: Project) -> None:
    response = httpx.post(f"{project.url}/v1/videos/sync", json={"prompt": PROMPT, "seed": 3}, timeout=120)
    assert response.is_success, response.text
    frames = frames_of(response.content)
    assert frames.shape == (9, 64, 64, 3)
    red = (frames[..., 0] > 128) & (frames[..., 1:].max(-1) < 100)
    assert red.any(axis=(1, 2)).all(), "there is a frame without red"
    centres = [np.nonzero(frame)[1].mean() for frame in red]
    assert centres[-1] - centres[0] > 5, "it does not move right"


def test_an_image(project: Project) -> None:
    project.wait_for_model("toy-qwen-image")
    body = {"prompt": "a blue square on a white background", "response_format": "url", "seed": 1}
    response = httpx.post(f"{project.url}/v1/images/generations", json=body, timeout=120)
    assert response.is_success, response.text
    png = httpx.get(response.json()["data"][0]["url"], timeout=60).content
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    assert image.shape == (96, 96, 3)
    assert image.std() > 10
    assert ((image[..., 2] > 128) & (image[..., 0] < 100)).sum() > 20, "there is no blue"


def test_a_job_outlives_tritons_container(project: Project) -> None:
    video = project.create(prompt=PROMPT, seed=5, **LONG)["id"]
    project.wait_for(video, "in_progress", progress=5)
    kill(project.engine.pid(project.container("triton")))
    project.wait_for(video, "completed")
    assert frames_of(project.get(f"/v1/videos/{video}/content").content).shape == (33, 128, 128, 3)
    assert project.inspect("triton", "{{.RestartCount}}") == "1"


def test_a_stopped_frontend_parks_its_job_and_finds_its_videos(project: Project) -> None:
    before = {one["id"] for one in project.get("/v1/videos?limit=100").json()["data"]}
    assert before
    known = next(iter(before))
    content = project.get(f"/v1/videos/{known}/content").content
    video = project.create(prompt=PROMPT, seed=6, **LONG)["id"]
    project.wait_for(video, "in_progress", progress=5)
    began = time.monotonic()
    project.compose("stop", "frontend")
    assert time.monotonic() - began < STOP_SECONDS + 10  # of Compose itself
    assert project.inspect("frontend", "{{.State.ExitCode}}") in ("0", "143")
    project.compose("start", "frontend")
    project.wait_until_healthy()
    assert before <= {one["id"] for one in project.get("/v1/videos?limit=100").json()["data"]}
    assert project.get(f"/v1/videos/{known}/content").content == content
    project.wait_for(video, "completed")


@pytest.mark.parametrize("service", ["frontend", "triton"])
def test_roots_are_read_only(project: Project, service: str) -> None:
    container = project.container(service)
    with pytest.raises(AssertionError, match="Read-only file system"):
        project.engine.run("exec", container, "python", "-c", "open('/opt/tritonreel/x', 'w')")
    project.engine.run("exec", container, "python", "-c", "open('/tmp/x', 'w')")


def test_ports_are_on_loopback(project: Project) -> None:
    template = "{{range $p, $b := .NetworkSettings.Ports}}{{range $b}}{{.HostIp}} {{end}}{{end}}"
    for service, addresses in {"frontend": "127.0.0.1", "prometheus": "127.0.0.1", "triton": "", "s3": ""}.items():
        assert project.inspect(service, template).strip() == addresses


def test_tritons_doors_are_closed_to_other_containers(project: Project, tmp_path: Path) -> None:
    triton = project.address("triton")

    def is_open(port: int) -> bool:
        with socket.socket() as connection:
            connection.settimeout(5)
            return connection.connect_ex((triton, port)) == 0

    assert [port for port in range(1, 2**16) if is_open(port)] == [8001, 8002]
    code = doors.model_that_leaves(tmp_path / "mark")
    for port in (8001, 8002):
        for path in ("/v2/repository/models/evil/load", "/v2/models/generate/infer", "/v2/logging"):
            assert doors.page_posts(port, path, doors.load_request(code), triton) in (None, 404, 405), (port, path)
    with grpc.InferenceServerClient(f"{triton}:8001") as client:
        for name, control in doors.grpc_controls(code).items():
            with pytest.raises(InferenceServerException, match="This protocol is restricted"):
                pytest.fail(f"{name} was answered: {control(client, {})}")
        assert client.is_model_ready("generate")


def test_a_trace_goes_through_both_containers(project: Project) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    body = {"prompt": PROMPT, "num_inference_steps": 3}
    with Collector(address=(GATEWAY, project.collector_port)) as collector:
        response = httpx.post(
            f"{project.url}/v1/videos/generations",
            json=body,
            headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"},
            timeout=120,
        )
        assert response.is_success, response.text
        wanted = {("tritonreel", "job"), ("tritonreel", "part"), ("tritonreel-triton", "generate job")}
        collector.wait_for(trace, lambda spans: wanted <= {(span.service, span.name) for span in spans})


def test_two_frontends_share_the_jobs(project: Project) -> None:
    project.compose("up", "-d", "--no-recreate", "--scale", "frontend=2", "frontend")
    try:
        first, second = project.url_of(1), project.url_of(2)
        assert first != second
        project.wait_until_healthy(second)
        video = project.create(prompt=PROMPT, seed=7)["id"]
        project.wait_for(video, "completed")
        contents = [httpx.get(f"{url}/v1/videos/{video}/content", timeout=60).content for url in (first, second)]
        assert contents[0] == contents[1]
        assert frames_of(contents[0]).shape == (9, 64, 64, 3)
        wait_until(lambda: project.prometheus_says('count(up{job="tritonreel"} == 1)') == ["2"], what="two scraped")
    finally:
        project.compose("up", "-d", "--no-recreate", "--scale", "frontend=1", "frontend")


def test_prometheus_answers_the_dashboards_queries(project: Project) -> None:
    dashboard = json.loads((ROOT / "docker/grafana/dashboards/tritonreel.json").read_text())
    empty = []
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "10m")
            if not project.prometheus_says(query):
                empty.append((panel["title"], target["legendFormat"]))
    # there is no GPU, nothing swaps, nothing was bought; and there may be no errors
    without = {("GPU memory", "used, {{gpu_uuid}}"), ("GPU memory", "total, {{gpu_uuid}}")}
    without |= {("Cost of hosted providers, last 24 hours", "{{provider}} {{model}}")}
    without |= {(title, legend) for title, legend in empty if title == "Errors, per minute"}
    assert set(empty) <= without


def test_prometheus_evaluates_the_alerts(project: Project) -> None:
    [group] = yaml.safe_load((ROOT / "docker/prometheus/alerts.yml").read_text())["groups"]
    [found] = httpx.get(f"{project.prometheus}/api/v1/rules", timeout=30).json()["data"]["groups"]
    health = {rule["name"]: rule["health"] for rule in found["rules"]}
    assert health == {rule["alert"]: "ok" for rule in group["rules"]}


def test_no_secret_is_in_the_images(built: Project, engine: Engine) -> None:
    for image in ("tritonreel/frontend:0.1.0", "tritonreel/triton-cpu:0.1.0"):
        environment = engine.run("image", "inspect", "--format", "{{json .Config.Env}}", image)
        names = [entry.partition("=")[0] for entry in json.loads(environment)]
        assert [name for name in names if "SECRET" in name or "PASSWORD" in name or name.endswith("_API_KEY")] == []
