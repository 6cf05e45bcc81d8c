"""The whole product listens on three ports, none of which controls Triton, and writes nothing that others can read."""

import json
import stat
from pathlib import Path

from launcher.control_socket import ControlSocket
from launcher.shared_memory import SHM, regions
from tests.launcher import doors

from .running_server import RunningServer

PROMPT = "a red circle moving right on a black background"


def control(server: RunningServer) -> ControlSocket:
    state = json.loads((server.run_dir / "launcher.json").read_text())
    return ControlSocket(state["shm_prefix"], Path(state["socket_parent"]))


def test_three_ports_and_the_control_socket_are_all_that_listens(server: RunningServer) -> None:
    tcp, unix = doors.listening(server.processes())
    assert {address for address, _ in tcp} == {"127.0.0.1"}
    assert len(tcp) == 3
    assert unix == {control(server).path}


def test_a_foreign_page_controls_nothing(server: RunningServer, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    body = doors.load_request(doors.model_that_leaves(mark))
    for _, port in doors.listening(server.processes())[0]:
        for path in ("/v2/repository/models/evil/load", "/v2/repository/models/generate/unload", "/v2/logging"):
            status = doors.page_posts(port, path, body)
            assert status is None or 400 <= status < 500, (port, path)
    assert not mark.exists()
    assert server.post(prompt=PROMPT, num_inference_steps=1).status_code == 200


def test_what_a_job_leaves_is_for_this_user_alone(server: RunningServer) -> None:
    assert server.post(prompt=PROMPT, num_inference_steps=1).status_code == 200
    socket = control(server).path
    prefix = json.loads((server.run_dir / "launcher.json").read_text())["shm_prefix"]
    by_the_launcher = [path for path in server.run_dir.rglob("*") if path.name != "launcher.out"]
    shared_memory = [SHM / region for region in regions(prefix)]
    assert len(shared_memory) == 2 * 5  # a region and a heartbeat per model
    for path in [*by_the_launcher, socket.parent, socket, *shared_memory]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, f"{path} has {mode:o}"


def test_tritonserver_has_some_dozens_of_threads_per_model(server: RunningServer) -> None:
    assert server.tritonserver().num_threads() < 5 * 60
