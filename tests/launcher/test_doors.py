"""A web page, a local user and another user of the machine find every door of Triton closed but inference."""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from launcher.shared_memory import SHM
from tests.launcher import doors
from tests.launcher.conftest import INCREMENT, Launched, launched, write_model


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A Triton that tests may attack."""
    folder = tmp_path_factory.mktemp("doors")
    write_model(folder / "models", "increment", INCREMENT)
    with launched(folder / "models", folder / "instance", "--no-frontend") as running:
        running.wait_for("ready in")
        yield running


def processes(triton: Launched) -> list[psutil.Process]:
    return [psutil.Process(triton.process.pid), *triton.descendants()]


def test_nothing_else_listens(triton: Launched) -> None:
    tcp, unix = doors.listening(processes(triton))
    assert tcp == {("127.0.0.1", triton.ports.grpc), ("127.0.0.1", triton.ports.metrics)}
    assert unix == {triton.socket}


def test_the_attack_works_through_the_control_socket(triton: Launched, tmp_path: Path) -> None:
    """Otherwise the other tests would show nothing."""
    mark = tmp_path / "mark"
    transport = httpx.HTTPTransport(uds=str(triton.socket))
    with httpx.Client(transport=transport, base_url="http://tritonserver") as client:
        body = doors.load_request(doors.model_that_leaves(mark))
        response = client.post("/v2/repository/models/evil/load", content=body, headers=doors.FOREIGN_PAGE, timeout=60)
        client.post("/v2/repository/models/evil/unload")
    assert response.status_code == 200, response.text
    assert mark.exists()


def test_a_foreign_page_controls_nothing(triton: Launched, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    body = doors.load_request(doors.model_that_leaves(mark))
    for _, port in doors.listening(processes(triton))[0]:
        for path in (
            "/v2/repository/models/evil/load",
            "/v2/repository/models/increment/unload",
            "/v2/repository/index",
            "/v2/systemsharedmemory/region/r/register",
            "/v2/logging",
            "/v2/trace/setting",
            "/v2/models/increment/infer",
            "/v2/models/increment/generate",
            "/inference.GRPCInferenceService/RepositoryModelLoad",
        ):
            assert doors.page_posts(port, path, body) in (None, 404, 405), (port, path)
    assert not mark.exists()
    assert triton.increment(1) == 2


@pytest.mark.parametrize("headers", [{}, {"triton-grpc-protocol-no-key-opens-this": "-"}, {"no-key-opens-this": "-"}])
def test_a_grpc_client_controls_nothing(triton: Launched, headers: dict[str, str], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with grpc.InferenceServerClient(f"127.0.0.1:{triton.ports.grpc}") as client:
        for name, control in doors.grpc_controls(doors.model_that_leaves(mark)).items():
            with pytest.raises(InferenceServerException, match="This protocol is restricted"):
                pytest.fail(f"{name} was answered: {control(client, headers)}")
    assert not mark.exists()
    assert triton.increment(1) == 2


def test_the_lock_has_no_key(triton: Launched) -> None:
    """Its name and value can be read in the process list."""
    lock = next(word for word in triton.tritonserver().cmdline() if word.startswith("--grpc-restricted-protocol="))
    name, value = lock.partition(":")[2].encode().split(b"=")
    port, method, key = triton.ports.grpc, "RepositoryIndex", b"triton-grpc-protocol-" + name
    assert doors.raw_grpc(port, "ServerReady", (key.lower(), value))
    assert not doors.raw_grpc(port, method, (key, value))
    assert not doors.raw_grpc(port, method, (key.lower(), value))
    assert not doors.raw_grpc(port, method, (name, value))


def test_what_clients_need_stays_open(triton: Launched) -> None:
    with grpc.InferenceServerClient(f"127.0.0.1:{triton.ports.grpc}") as client:
        assert client.is_server_live()
        assert client.is_model_ready("increment")
        assert client.get_server_metadata().version
        assert client.get_model_metadata("increment").inputs[0].name == "x"
        assert client.get_model_config("increment").config.name == "increment"
        assert client.get_inference_statistics("increment").model_stats[0].name == "increment"
    assert triton.increment(1) == 2
    metrics = httpx.get(f"http://127.0.0.1:{triton.ports.metrics}/metrics", trust_env=False).text
    assert "nv_inference_count" in metrics


def test_nothing_is_open_to_other_users(triton: Launched) -> None:
    written = [triton.run_dir, *triton.run_dir.rglob("*"), triton.socket.parent, triton.socket]
    written += [SHM / region for region in triton.shm_regions]
    assert {"launcher.json", "lock", "triton.log", "model.py"} <= {path.name for path in written}
    assert triton.shm_regions
    for path in written:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, f"{path} has {mode:o}"


def test_shared_memory_is_never_open_to_other_users(
    launch: Callable[..., Launched], repository: Path, tmp_path: Path
) -> None:
    """Not even for the moment between making and closing it: a model sees its own region before it is loaded."""
    (repository / "increment" / "1" / "model.py").write_text(
        "import sys\nfrom pathlib import Path\n"
        "mode = next(region.stat().st_mode for region in Path('/dev/shm').glob('tritonreel_*') "
        "if str(region.name) in Path('/proc/self/cmdline').read_text())\n"
        f"Path({str(tmp_path / 'mode')!r}).write_text(oct(mode & 0o777))\n" + INCREMENT
    )
    launch(repository, "--no-frontend").wait_for("ready in")
    assert (tmp_path / "mode").read_text() == "0o600"
