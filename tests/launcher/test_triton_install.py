import os
import sys
from pathlib import Path

import pytest

from launcher.errors import SetupError
from launcher.triton_install import find_triton_install, libpython_folder


def test_stub_is_that_of_the_running_python() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert find_triton_install().python_stub.parent.name == version
    assert (libpython_folder(version) / f"libpython{version}.so.1.0").exists()


def test_missing_libpython_names_the_package() -> None:
    with pytest.raises(SetupError, match=r"apt-get install libpython3\.99"):
        libpython_folder("3.99")


def test_environment_puts_this_python_first() -> None:
    environment = find_triton_install().environment()
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert "nvidia_pytriton.libs" in environment["LD_LIBRARY_PATH"].split(os.pathsep)[0]


def test_backend_folder_has_the_wheels_backend_and_the_projects(tmp_path: Path) -> None:
    (tmp_path / "project" / "engine").mkdir(parents=True)
    (tmp_path / "project" / "engine" / "model.py").write_text("first")
    install = find_triton_install()
    for content in ("first", "second"):  # assembling again replaces
        (tmp_path / "project" / "engine" / "model.py").write_text(content)
        install.assemble_backends(tmp_path / "project", tmp_path / "backends")
        assert (tmp_path / "backends" / "engine" / "model.py").read_text() == content
    files = {file.name for file in (tmp_path / "backends" / "python").iterdir()}
    assert {"libtriton_python.so", "triton_python_backend_stub", "triton_python_backend_utils.py"} <= files
    assert os.access(tmp_path / "backends" / "python" / "triton_python_backend_stub", os.X_OK)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The wheel's parts, laid out as in NVIDIA's images."""
    wheel = find_triton_install()
    python = tmp_path / "tritonserver" / "backends" / "python"
    python.mkdir(parents=True)
    (tmp_path / "tritonserver" / "bin").mkdir()
    (tmp_path / "tritonserver" / "bin" / "tritonserver").symlink_to(wheel.server)
    (python / "libtriton_python.so").symlink_to(wheel.python_backend / "libtriton_python.so")
    (python / "triton_python_backend_stub").symlink_to(wheel.python_stub)
    return tmp_path / "tritonserver"


def test_tritonserver_of_a_folder(installed: Path, tmp_path: Path) -> None:
    install = find_triton_install(installed)
    assert install.server == installed / "bin" / "tritonserver"
    assert install.library_path[0] == installed / "lib"
    (tmp_path / "project").mkdir()
    install.assemble_backends(tmp_path / "project", tmp_path / "assembled")
    assert (tmp_path / "assembled" / "python" / "triton_python_backend_stub").is_file()


def test_a_folder_that_lacks_a_part(installed: Path) -> None:
    (installed / "bin" / "tritonserver").unlink()
    with pytest.raises(SetupError, match=r"--tritonserver: there is no .*bin/tritonserver\."):
        find_triton_install(installed)


def test_a_folder_whose_stub_embeds_another_python(installed: Path) -> None:
    stub = installed / "backends" / "python" / "triton_python_backend_stub"
    stub.unlink()
    stub.write_bytes(b"\0libpython3.10.so.1.0\0")
    with pytest.raises(SetupError, match="was not built for Python 3"):
        find_triton_install(installed)
