"""Whatever is wrong at the start is a sentence that says what and where, and exit status 1."""

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from launcher.settings import PROJECT_ROOT
from tests.launcher.conftest import INCREMENT, write_model, write_stamp
from tests.model_cards import model_card

SOMEBODY_ELSE = """
import os, sys
from pathlib import Path
from launcher.__main__ import app
from launcher.errors import SetupError
from launcher.model_repository import read_repository
"host".encode("idna")  # imports what somebody else may not be able to read
if os.getuid() == 0:  # who may read and write everything
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""
AS_SOMEBODY_ELSE = f"{SOMEBODY_ELSE}app()"
READ_AS_SOMEBODY_ELSE = f"""{SOMEBODY_ELSE}
try:
    read_repository(Path(sys.argv[1]))
except SetupError as error:
    sys.exit(str(error))
"""


def start(
    *options: str,
    env: dict[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
    command: tuple[str, ...] = ("-m", "launcher"),
) -> str:
    """What `python -m launcher` says when it does not start."""
    done = subprocess.run(
        [sys.executable, *command, *options],
        cwd=PROJECT_ROOT,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=prepare,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 1, output
    assert "Traceback" not in output
    assert "tritonserver is up" not in output
    return output


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may look into, as they may not with pytest's."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def options(repository: Path, tmp_path: Path) -> tuple[str, ...]:
    """Options that only lack what is wrong; a later one of the same name counts."""
    ports = ("--port", "0", "--grpc-port", "0", "--metrics-port", "0")
    return "--model-repository", str(repository), "--run-dir", str(tmp_path / "run"), "--no-frontend", *ports


# The run folder


def test_run_folder_that_is_a_file(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = start(*options, "--run-dir", str(tmp_path / "file"))
    assert f"Cannot use the run folder {tmp_path / 'file'}: {tmp_path / 'file'} is not a folder." in output
    assert "Choose another one with --run-dir." in output


def test_run_folder_below_a_file(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is not a folder" in start(*options, "--run-dir", str(tmp_path / "file" / "run"))


def test_run_folder_that_is_a_link_to_nowhere(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    output = start(*options, "--run-dir", str(tmp_path / "link"))
    assert f"it is a link to {tmp_path / 'nowhere'}, which does not exist" in output


def test_run_folder_that_is_a_link_to_itself(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "link")
    assert "Cannot use the run folder" in start(*options, "--run-dir", str(tmp_path / "link"))


@pytest.mark.parametrize("folder", ["/proc/tritonreel", "/sys/tritonreel", "/dev/null/run", "x" * 300, "a/" * 3000])
def test_run_folder_where_none_can_be(options: tuple[str, ...], folder: str) -> None:
    assert "Cannot use the run folder" in start(*options, "--run-dir", folder)


def test_run_folder_of_somebody_else(options: tuple[str, ...], open_folder: Path) -> None:
    open_folder.chmod(0o555)
    output = start(*options, "--run-dir", str(open_folder / "run"), command=("-c", AS_SOMEBODY_ELSE))
    assert f"Cannot use the run folder {open_folder / 'run'}: Permission denied" in output


@pytest.mark.parametrize("name", ["lock", "launcher.json", "launcher.part", "logs", "backends"])
def test_run_folder_with_something_else_in_a_files_place(options: tuple[str, ...], tmp_path: Path, name: str) -> None:
    if name in ("logs", "backends"):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / name).touch()
    else:
        (tmp_path / "run" / name / "folder").mkdir(parents=True)
    assert str(tmp_path / "run") in start(*options)


@pytest.mark.parametrize("limit", [0, 100, 100_000])
def test_disk_without_room(options: tuple[str, ...], limit: int) -> None:
    """As far as the limit for a file's size can play one: for the state, for the back ends."""
    output = start(*options, prepare=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert "Cannot" in output
    assert "File too large" in output


def test_stop_says_it_too(tmp_path: Path) -> None:
    (tmp_path / "lock" / "folder").mkdir(parents=True)
    output = start("--run-dir", str(tmp_path), command=("-m", "launcher", "stop"))
    assert f"Cannot look for a server in {tmp_path}: Is a directory" in output


# The engine


def test_an_engine_that_no_model_could_run_on(options: tuple[str, ...]) -> None:
    output = start(*options, "--engine", "tensorrt", "--device", "cpu")
    assert "--engine tensorrt: TensorRT runs on GPUs only: ask for the device auto or cuda:N, or for another" in output
    assert len(output.splitlines()) == 1


# The model repository


def test_repository_that_is_a_file(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = start(*options, "--model-repository", str(tmp_path / "file"))
    assert f"Cannot read the model repository {tmp_path / 'file'}: Not a directory" in output


@pytest.mark.parametrize("unreadable", [".", "increment", "increment/1", "generate/1", "generate/1/wan_t2v"])
def test_repository_of_somebody_else(open_folder: Path, unreadable: str) -> None:
    write_card(open_folder)
    write_model(open_folder, "increment", INCREMENT)
    (open_folder / unreadable).chmod(0)
    output = start(str(open_folder), command=("-c", READ_AS_SOMEBODY_ELSE))
    (open_folder / unreadable).chmod(0o700)
    assert re.search(f"Cannot read (the model repository )?{open_folder}.*: Permission denied", output)


def write_card(repository: Path) -> Path:
    card = model_card("video", experts=1)
    write_model(repository, "generate", INCREMENT)
    folder = repository / "generate" / "1" / card.family
    folder.mkdir()
    card.write(folder)
    write_stamp(repository)
    return folder / "card.json"


BROKEN_CARDS = {
    "empty": b"",
    "not JSON": b"{'id': 1}",
    "not UTF-8": b'{"id": "\xff"}',
    "not a card": b"[]",
    "of another release": b'{"id": "video", "family": "wan_t2v"}',
    "too deep": b"[" * 100_000,
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("card", BROKEN_CARDS.values(), ids=BROKEN_CARDS.keys())
def test_broken_card(options: tuple[str, ...], repository: Path, card: bytes) -> None:
    file = write_card(repository)
    file.write_bytes(card)
    output = start(*options)
    assert f"{file} is not a model card of this release (" in output
    assert "Export the checkpoint again." in output


# Adapters


def test_folder_of_adapters_that_is_a_file(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = start(*options, "--lora-dir", str(tmp_path / "file"))
    assert f"Cannot read the folder of adapters {tmp_path / 'file'}: Not a directory" in output


def test_folder_of_adapters_that_is_a_link_to_itself(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "link")
    assert "Cannot read the folder of adapters" in start(*options, "--lora-dir", str(tmp_path / "link"))


# Addresses and the environment


@pytest.mark.parametrize("option", ["--port", "--grpc-port", "--metrics-port"])
@pytest.mark.parametrize("port", ["-1", "65536", "99999999999999999999"])
def test_port_that_is_none(options: tuple[str, ...], option: str, port: str) -> None:
    assert f"{option} is {port}; a port is a number from 1 to 65535" in start(*options, option, port)


@pytest.mark.parametrize("host", ["", "nowhere.invalid", "256.1.1.1", "a..b", "x" * 70, "[::1]", "http://localhost"])
def test_host_that_is_none(options: tuple[str, ...], host: str) -> None:
    assert f"--host {host!r} is no address of this machine" in start(*options, "--frontend", "--host", host)


def test_environment_that_the_frontend_cannot_use(options: tuple[str, ...]) -> None:
    output = start(
        *options, "--frontend", env={"TRITONREEL_MAX_BODY_BYTES": "many", "TRITONREEL_UNKNOWN_FIELDS": "eat"}
    )
    assert "TRITONREEL_MAX_BODY_BYTES: Input should be a valid integer" in output
    assert "TRITONREEL_UNKNOWN_FIELDS: Input should be 'warn' or 'refuse'" in output
    assert "many" not in output
