"""Start, what a person is told when that fails, and stop."""

import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from launcher.ports import resolve
from launcher.settings import Ports
from launcher.shared_memory import regions
from tests.conftest import Exported
from tests.launcher.conftest import BROKEN, INCREMENT, Launched, write_model, write_stamp
from tests.model_cards import model_card
from tests.waiting import wait_until

Launch = Callable[..., Launched]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_a_signal_and_leaves_nothing(
    launch: Launch, repository: Path, signal_number: signal.Signals
) -> None:
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    assert launched.increment(1) == 2
    prefix, descendants = launched.shm_prefix, launched.descendants()
    assert len(launched.shm_regions) == 1
    assert len(descendants) == 3  # the reaper, tritonserver, and the process of `increment`

    launched.process.send_signal(signal_number)

    assert launched.wait_for_exit() == 0
    assert regions(prefix) == []
    assert not any(process.is_running() for process in descendants)


def test_says_what_it_loads_and_what_lacks_its_weights(launch: Launch, repository: Path) -> None:
    card = model_card("video", experts=1)
    (repository / "generate" / "1" / card.family).mkdir(parents=True)
    card.write(repository / "generate" / "1" / card.family)
    write_stamp(repository)
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    assert "loaded increment (" in launched.output
    assert "lack generate, wan_t2v_transformer, wan_text_encoder, wan_vae" in launched.output


def test_paths_may_have_spaces_accents_and_what_a_shell_obeys(launch: Launch, tmp_path: Path) -> None:
    repository = tmp_path / "mes modèles; 'à $(touch obeyed) moi'" / "国风"
    write_model(repository, "increment", INCREMENT)
    launched = launch(repository, "--no-frontend", name="une exécution", env={"LC_ALL": "C"})
    launched.wait_for("ready in")
    assert launched.increment(4) == 5
    launched.stub("increment").process.kill()
    launched.wait_for("model increment is back")
    assert launched.increment(5) == 6
    folder = launched.socket.parent
    assert launched.stop() == 0
    assert not folder.exists()


def test_two_at_once_on_different_ports(launch: Launch, repository: Path) -> None:
    first = launch(repository, "--no-frontend", name="first")
    second = launch(repository, "--no-frontend", name="second")
    first.wait_for("ready in")
    second.wait_for("ready in")
    assert first.stop() == 0
    assert second.increment(4) == 5
    assert len(second.shm_regions) == 1


def test_second_start_in_the_same_run_folder_is_refused(launch: Launch, repository: Path) -> None:
    first = launch(repository, "--no-frontend")
    first.wait_for("ready in")
    second = launch(repository, "--no-frontend", "--run-dir", str(first.run_dir), name="second")
    assert second.wait_for_exit() == 1
    assert f"A server already runs in {first.run_dir} (pid {first.process.pid})" in second.output
    assert first.increment(1) == 2


@pytest.mark.parametrize(
    ("name", "option"),
    [("frontend", "--port"), ("grpc", "--grpc-port"), ("metrics", "--metrics-port")],
)
def test_taken_port_is_named_with_its_option(launch: Launch, repository: Path, name: str, option: str) -> None:
    ports = resolve(Ports(0, 0, 0))
    with socket.create_server(("127.0.0.1", 0)) as owner:
        taken = owner.getsockname()[1]
        launched = launch(repository, ports=replace(ports, **{name: taken}))
        assert launched.wait_for_exit() == 1
    assert f"Cannot listen on 127.0.0.1:{taken} (Address already in use)" in launched.output
    assert f"another port with {option}." in launched.output
    assert "tritonserver is up" not in launched.output


def test_nothing_exported(launch: Launch, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "generate", INCREMENT)
    write_model(tmp_path / "models", "wan_vae", code=None)
    launched = launch(tmp_path / "models", "--no-frontend")
    assert launched.wait_for_exit() == 1
    assert "python -m export" in launched.output


def test_model_that_does_not_load_is_named_with_its_error_and_the_log(launch: Launch, repository: Path) -> None:
    write_model(repository, "broken", BROKEN)
    launched = launch(repository, "--no-frontend")
    assert launched.wait_for_exit() == 1
    assert "Model broken did not load" in launched.output
    assert "the weights are missing" in launched.output
    log = launched.run_dir / "logs" / "triton.log"
    assert f"The whole log: {log}" in launched.output
    assert "the weights are missing" in log.read_text()


def test_frontend_that_does_not_start_is_named_with_its_error_and_the_log(
    launch: Launch, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken" / "uvicorn").mkdir(parents=True)
    (tmp_path / "broken" / "uvicorn" / "__init__.py").write_text("raise RuntimeError('the disk is gone')")
    launched = launch(repository, env={"PYTHONPATH": str(tmp_path / "broken")})
    assert launched.wait_for_exit() == 1
    assert "The frontend exited with status 1 while starting" in launched.output
    assert "the disk is gone" in launched.output
    assert f"The whole log: {launched.run_dir / 'logs' / 'frontend.log'}" in launched.output


def test_signal_while_a_model_loads(launch: Launch, tmp_path: Path) -> None:
    slow = "import time\nclass TritonPythonModel:\n    def initialize(self, args):\n        time.sleep(60)\n"
    write_model(tmp_path / "models", "slow", slow)
    launched = launch(tmp_path / "models", "--no-frontend")
    launched.wait_for("tritonserver is up")
    wait_until(lambda: len(launched.descendants()) == 3, 10, "the model's process")
    prefix, descendants = launched.shm_prefix, launched.descendants()
    assert launched.stop() == 0
    assert regions(prefix) == []
    assert not any(process.is_running() for process in descendants)


def test_killed_launcher_takes_its_children_along_and_the_next_one_cleans_up(launch: Launch, repository: Path) -> None:
    first = launch(repository, "--no-frontend")
    first.wait_for("ready in")
    prefix, descendants = first.shm_prefix, first.descendants()
    first.process.kill()
    _, alive = psutil.wait_procs(descendants, timeout=10)
    assert alive == []

    second = launch(repository, "--no-frontend", "--run-dir", str(first.run_dir), name="second", ports=first.ports)
    second.wait_for("ready in")
    assert regions(prefix) == []
    assert second.increment(1) == 2


def test_serves_http_and_brings_the_frontend_back(launch: Launch, toy: Exported) -> None:
    launched = launch(toy.repository)
    launched.wait_for("ready in", seconds=60)
    url = f"http://127.0.0.1:{launched.ports.frontend}"
    assert f"curl -sS {url}/v1/videos/generations" in launched.output
    assert f"{url}/docs" in launched.output

    (frontend,) = [process for process in launched.descendants() if "frontend" in process.cmdline()]
    frontend.kill()
    launched.wait_for("the frontend was killed by SIGKILL; bringing it back now")
    launched.wait_for("frontend is back")
    assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
    assert launched.stop() == 0
