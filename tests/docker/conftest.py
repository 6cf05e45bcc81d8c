from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.docker.base_image import make_base_image, served_torch
from tests.docker.engine import Engine, why_not
from tests.docker.project import SERVICES, Project


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if reason := why_not():
        pytest.skip(reason)
    with Engine(tmp_path_factory.mktemp("docker") / "engine") as engine:
        yield engine
    assert engine.mounts() == []
    assert engine.processes() == []
    assert not engine.folder.exists()


@pytest.fixture(scope="session")
def built(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The images of profile `cpu`."""
    folder: Path = tmp_path_factory.mktemp("project")
    make_base_image(engine, folder / "rootfs")
    with served_torch(folder / "wheels") as torch_wheels:
        project = Project(engine, folder, torch_wheels)
        with ThreadPoolExecutor(2) as builds:  # downloads of the one beside what the other one unpacks
            list(builds.map(lambda service: project.compose("build", service, timeout=1200), SERVICES))
        yield project


@pytest.fixture(scope="session")
def project(built: Project) -> Iterator[Project]:
    """Up, and healthy."""
    with built.up():
        yield built
    assert built.engine.run("ps", "--all", "--quiet") == ""
    assert built.engine.run("volume", "ls", "--quiet") == ""
