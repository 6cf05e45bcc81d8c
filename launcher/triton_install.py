"""Where tritonserver and its parts are, and how this interpreter uses them."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from launcher.child_environment import without_secrets
from launcher.errors import SetupError, in_words
from launcher.private_files import OTHERS


@dataclass(frozen=True)
class TritonInstall:
    """The parts, for the Python that runs now."""

    server: Path
    """the tritonserver binary"""
    python_backend: Path
    """folder with libtriton_python.so"""
    python_stub: Path
    """the program that runs one model instance; it embeds this Python version"""
    library_path: tuple[Path, ...]
    """for LD_LIBRARY_PATH"""

    def environment(self) -> dict[str, str]:
        """The environment of tritonserver and, inherited, of its model processes.

        The stub's embedded Python ignores PYTHONPATH; it finds its virtual environment by the first `python3` in PATH.
        """
        libraries = [str(folder) for folder in self.library_path]
        if given := os.environ.get("LD_LIBRARY_PATH"):
            libraries.append(given)
        path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        inherited = without_secrets()
        return inherited | {"LD_LIBRARY_PATH": os.pathsep.join(libraries), "PATH": os.pathsep.join(path)}

    def assemble_backends(self, project_backends: Path, into: Path) -> None:
        """Make `into` a Triton backend folder: `python` from the wheel, and each folder of `project_backends`.

        Raises SetupError.
        """
        try:
            self._assemble_backends(project_backends, into)
        except OSError as error:
            raise SetupError(f"Cannot write Triton's back ends to {into}: {in_words(error)}.") from error

    def _assemble_backends(self, project_backends: Path, into: Path) -> None:
        shutil.rmtree(into, ignore_errors=True)
        python = into / "python"
        python.mkdir(parents=True)
        for part in (*self.python_backend.glob("*.so"), *self.python_backend.glob("*.py"), self.python_stub):
            shutil.copy2(part, python)  # not a link: Triton refuses a library that lies outside its backend folder
        for backend in project_backends.iterdir():
            if backend.is_dir():
                shutil.copytree(backend, into / backend.name)
        for copied in into.rglob("*"):
            copied.chmod(copied.stat().st_mode & ~OTHERS)


def find_triton_install(folder: Path | None = None) -> TritonInstall:
    """Locate tritonserver and the shared libpython. Raises SetupError that names what is missing.

    Args:
        folder: where NVIDIA's images have it, /opt/tritonserver; None for the nvidia-pytriton wheel.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return _in_wheel(version) if folder is None else _in_folder(folder, version)


def _in_folder(folder: Path, version: str) -> TritonInstall:
    """Its stub embeds the Python of the image that it comes from."""
    python = folder / "backends" / "python"
    install = TritonInstall(
        server=folder / "bin" / "tritonserver",
        python_backend=python,
        python_stub=python / "triton_python_backend_stub",
        library_path=(folder / "lib", libpython_folder(version)),
    )
    for part in (install.server, python / "libtriton_python.so", install.python_stub):
        if not part.exists():
            raise SetupError(f"--tritonserver: there is no {part}.")
    embedded = f"libpython{version}.so".encode()
    if embedded not in install.python_stub.read_bytes():
        raise SetupError(f"--tritonserver: the Python backend in {folder} was not built for Python {version}.")
    return install


def _in_wheel(version: str) -> TritonInstall:
    spec = find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise SetupError("tritonserver is not installed in this Python. Install it with: pip install nvidia-pytriton")
    package = Path(spec.origin).parent
    root = package / "tritonserver"
    install = TritonInstall(
        server=root / "bin" / "tritonserver",
        python_backend=root / "backends" / "python",
        python_stub=root / "python_backend_stubs" / version / "triton_python_backend_stub",
        library_path=(package.parent / "nvidia_pytriton.libs", libpython_folder(version)),
    )
    for part in (install.server, install.python_backend / "libtriton_python.so", install.python_stub):
        if not part.exists():
            raise SetupError(f"The nvidia-pytriton wheel lacks {part}; Tritonreel runs on Python 3.11 and 3.12.")
    return install


def libpython_folder(version: str) -> Path:
    """The folder of the shared libpython that the stub links. Raises SetupError when there is none."""
    name = f"libpython{version}.so.1.0"
    libdir = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    folders = [libdir, libdir / (sysconfig.get_config_var("MULTIARCH") or ""), Path(sys.base_prefix) / "lib"]
    folders += [Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder]
    folders += _dynamic_linker_folders(name)
    for folder in folders:
        if (folder / name).exists():
            return folder
    raise SetupError(
        f"{name} was not found; tritonserver's model processes need the shared Python library.\n"
        f"Install it with: apt-get install libpython{version}\n"
        f"or use a Python built with it (pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {version})."
    )


def _dynamic_linker_folders(name: str) -> list[Path]:
    """Folders in which the dynamic linker's cache has the library `name`."""
    ldconfig = shutil.which("ldconfig", path="/sbin:/usr/sbin:/bin:/usr/bin")
    if ldconfig is None:
        return []
    cache = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False).stdout
    return [Path(line.split("=> ")[1]).parent for line in cache.splitlines() if name in line and "=> " in line]
