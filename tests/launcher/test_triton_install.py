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
