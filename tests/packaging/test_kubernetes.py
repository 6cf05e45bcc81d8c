"""The manifests of docker/kubernetes, by the schemas of Kubernetes and by what they have in common with our code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from frontend.settings import Settings
from tests.conftest import ROOT

FOLDER = ROOT / "docker" / "kubernetes"
VERSION = "1.34"
NOT_OURS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
NO_SCHEMA = ("Kustomization", "ScaledObject", "PodMonitor")
"""of other projects: kustomize, KEDA, the Prometheus operator"""


def documents() -> Iterator[tuple[Path, dict[str, Any]]]:
    for file in sorted(FOLDER.rglob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            yield file, document


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    """By name."""
    return {document["metadata"]["name"]: document for _, document in documents() if document["kind"] in kinds}


def kustomization(folder: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())
    return read


def settings() -> dict[str, str]:
    (generated,) = kustomization("base")["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generated["literals"])


def secrets() -> dict[str, str]:
    lines = (FOLDER / "base" / "secrets.example.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def pods() -> dict[str, dict[str, Any]]:
    """Specs of pods, by what makes them."""
    return {
        name: made["spec"]["template"]["spec"] for name, made in of_kind("Deployment", "StatefulSet", "Job").items()
    }


@pytest.mark.parametrize(
    ("file", "document"), [pytest.param(*found, id=f"{found[0].stem}-{found[1]['kind']}") for found in documents()]
)
def test_they_are_what_kubernetes_takes(file: Path, document: dict[str, Any]) -> None:
    if document["kind"] not in NO_SCHEMA:
        kubernetes_validate.validate(document, VERSION, strict=True)
    elif document["kind"] != "Kustomization":
        assert document["apiVersion"].count("/") == 1
        assert document["metadata"]["name"]


@pytest.mark.parametrize("folder", ["base", "autoscaling"])
def test_every_file_is_applied(folder: str) -> None:
    listed = {name for name in kustomization(folder)["resources"] if name != "../base"}
    assert listed == {file.name for file in (FOLDER / folder).glob("*.yaml")} - {"kustomization.yaml"}


@pytest.mark.parametrize("name", ["triton", "frontend", "export"])
def test_pods_may_do_nothing_that_they_need_not(name: str) -> None:
    pod = pods()[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_settings_and_secrets_are_those_of_the_frontend() -> None:
    known = {f"TRITONREEL_{name.upper()}" for name in Settings.model_fields}
    assert {*settings(), *secrets()} - known == set(NOT_OURS)
    assert secrets()["TRITONREEL_API_KEY"] == "", "an example has no key"


def test_triton_s_pods_are_those_that_the_frontend_and_the_autoscaler_know() -> None:
    triton, scaled = of_kind("StatefulSet")["triton"], of_kind("ScaledObject")["triton"]
    most = scaled["spec"]["maxReplicaCount"]
    names = [f"triton-{number}.{triton['spec']['serviceName']}:8001" for number in range(most)]
    assert settings()["TRITONREEL_TRITON_URL"].split(",") == names
    assert scaled["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "triton"}
    (container,) = pods()["triton"]["containers"]
    for hook in ("postStart", "preStop"):
        *_, command = container["lifecycle"][hook]["exec"]["command"]
        assert "$POD.triton:8001" in command


def test_a_pod_is_given_more_time_than_its_longest_job() -> None:
    longest = Settings.model_fields["job_timeout_seconds"].default
    assert pods()["triton"]["terminationGracePeriodSeconds"] > longest
    (container,) = pods()["triton"]["containers"]
    *_, command = container["lifecycle"]["preStop"]["exec"]["command"]
    assert f"--timeout {longest:.0f}" in command
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 1800


def test_triton_is_reached_by_frontends_alone() -> None:
    policies = of_kind("NetworkPolicy")
    assert policies["nothing"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    reached = {
        port["port"]: rule["from"] for rule in policies["triton"]["spec"]["ingress"] for port in rule["ports"][:1]
    }
    assert reached[8001] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "frontend"}}}]
    assert set(reached) == {8001, 8002}
    labels = {made["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] for made in _makers()}
    for name in ("triton", "frontend"):
        assert policies[name]["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] in labels


def _makers() -> list[dict[str, Any]]:
    return list(of_kind("Deployment", "StatefulSet").values())
