import socket
from dataclasses import astuple

import pytest

from launcher.errors import SetupError
from launcher.ports import check, reachable, resolve
from launcher.settings import Ports


def test_zero_becomes_a_free_port_and_others_stay() -> None:
    ports = resolve(Ports(frontend=8000, grpc=0, metrics=0))
    assert ports.frontend == 8000
    assert len(set(astuple(ports))) == 3
    check(ports, "127.0.0.1", "127.0.0.1", with_frontend=False)


def test_taken_port() -> None:
    ports = resolve(Ports(0, 0, 0))
    with (
        socket.create_server(("127.0.0.1", ports.metrics)),
        pytest.raises(SetupError, match=f"127.0.0.1:{ports.metrics} .*--metrics-port"),
    ):
        check(ports, "127.0.0.1", "127.0.0.1", with_frontend=True)


def test_one_port_twice() -> None:
    with pytest.raises(SetupError, match="--port and --grpc-port are both 8001"):
        check(Ports(frontend=8001), "127.0.0.1", "127.0.0.1", with_frontend=True)


def test_frontend_port_does_not_matter_without_frontend() -> None:
    ports = resolve(Ports(0, 0, 0))
    with socket.create_server(("127.0.0.1", ports.frontend)):
        check(ports, "127.0.0.1", "127.0.0.1", with_frontend=False)


def test_address_that_this_machine_does_not_have() -> None:
    with pytest.raises(SetupError, match=r"Cannot listen on 192\.0\.2\.1"):
        check(resolve(Ports(0, 0, 0)), "192.0.2.1", "127.0.0.1", with_frontend=True)


def test_address_of_triton_that_is_none() -> None:
    with pytest.raises(SetupError, match="--triton-host 'no such host' is no address"):
        check(resolve(Ports(0, 0, 0)), "127.0.0.1", "no such host", with_frontend=True)


@pytest.mark.parametrize(
    ("host", "reached_at"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.2", "10.0.0.2"), ("fd00::2", "[fd00::2]")],
)
def test_how_what_binds_an_address_is_reached(host: str, reached_at: str) -> None:
    assert reachable(host) == reached_at
