"""`debian:bookworm-slim`, made by debootstrap as no registry may be reached, and what builds need of this machine."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.conftest import ROOT
from tests.docker.engine import Engine, run

IMAGE = "debian:bookworm-slim"
_MIRROR = "http://deb.debian.org/debian"
_SECURITY = "http://deb.debian.org/debian-security"
_CERTIFICATES = ("etc/ssl/certs", "usr/share/ca-certificates", "usr/local/share/ca-certificates")
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/lib/apt/lists")
"""of the official image too"""


def make_base_image(engine: Engine, folder: Path) -> None:
    """Import the image.

    Args:
        folder: a new one for its files, which are removed.
    """
    mirror, security = _mirrors()
    run(["debootstrap", "--variant=minbase", "bookworm", folder, mirror], engine.environment, timeout=600)
    for left_out in _LEFT_OUT:
        for entry in (folder / left_out).glob("*"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (folder / "etc/apt/sources.list").write_text(f"deb {mirror} bookworm main\ndeb {security} bookworm-security main\n")
    # as the official image has it: packages are not kept
    (folder / "etc/apt/apt.conf.d/docker-clean").write_text(
        'DPkg::Post-Invoke {"rm -f /var/cache/apt/archives/*.deb || true";};\nDir::Cache::pkgcache "";\n'
        'Dir::Cache::srcpkgcache "";\nAcquire::Languages "none";\n'
    )
    (folder / "etc/dpkg/dpkg.cfg.d/docker").write_text("".join(f"path-exclude /{path}/*\n" for path in _LEFT_OUT[:-1]))
    for archive in (folder / "var/cache/apt").rglob("*"):
        if archive.is_file():
            archive.unlink()
    for certificates in _CERTIFICATES:
        if (Path("/") / certificates).is_dir():
            shutil.copytree(Path("/") / certificates, folder / certificates, symlinks=True, dirs_exist_ok=True)
    (folder / "etc/pip.conf").write_text(_pip_configuration())
    with subprocess.Popen(["tar", "-C", str(folder), "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(
            ["docker", "import", "-", IMAGE], stdin=tar.stdout, env=engine.environment, check=True, capture_output=True
        )
    shutil.rmtree(folder)


def _mirrors() -> tuple[str, str]:
    """Of Debian and of its security updates, as this machine names them."""
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    found = re.findall(r"^URIs:\s*(\S+)", sources.read_text(), re.MULTILINE) if sources.exists() else []
    security = [uri for uri in found if uri.rstrip("/").endswith("security")]
    return next((uri for uri in found if uri not in security), _MIRROR), next(iter(security), _SECURITY)


def _pip_configuration() -> str:
    """This machine's certificates and indexes; folders of it are not there in a container."""
    listed = run([sys.executable, "-m", "pip", "config", "list"], {}, timeout=60)
    lines = ["[global]", f"cert = {_BUNDLE}"]
    for name, value in re.findall(r"^\S+\.(index-url|extra-index-url|trusted-host)='(.*)'$", listed, re.MULTILINE):
        there = [word for word in value.replace("\\n", " ").split() if not word.startswith("file:")]
        if there:
            lines.append(f"{name} = {' '.join(there)}")
    return "\n".join([*lines, ""])


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served_torch(folder: Path) -> Iterator[str | None]:
    """URL of a page with the CPU build of torch, if this machine has its wheel at hand; else None."""
    command = [sys.executable, "-m", "pip", "download", "--no-index", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version=3.11", "-c", str(ROOT / "constraints.txt"), "--dest", str(folder), "torch"]
    subprocess.run(command, capture_output=True, check=False)
    if not list(folder.glob("torch-*+cpu-*.whl")):
        yield None
        return
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
