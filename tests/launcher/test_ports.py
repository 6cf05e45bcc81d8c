import socket
from dataclasses import astuple

import pytest

from launcher.errors import SetupError
from launcher.ports import check, resolve
from launcher.settings import Ports


def test_zero_becomes_a_free_port_and_others_stay() -> None:
    ports = resolve(Ports(frontend=8000, grpc=0, metrics=0))
    assert ports.frontend == 8000
    assert len(set(astuple(ports))) == 3
    check(ports, "127.0.0.1", with_frontend=False)


def test_taken_port() -> None:
    ports = resolve(Ports(0, 0, 0))
    with (
        socket.create_server(("127.0.0.1", ports.metrics)),
        pytest.raises(SetupError, match=f"127.0.0.1:{ports.metrics} .*--metrics-port"),
    ):
        check(ports, "127.0.0.1", with_frontend=True)


def test_one_port_twice() -> None:
    with pytest.raises(SetupError, match="--port and --grpc-port are both 8001"):
        check(Ports(frontend=8001), "127.0.0.1", with_frontend=True)


def test_frontend_port_does_not_matter_without_frontend() -> None:
    ports = resolve(Ports(0, 0, 0))
    with socket.create_server(("127.0.0.1", ports.frontend)):
        check(ports, "127.0.0.1", with_frontend=False)


def test_address_that_this_machine_does_not_have() -> None:
    with pytest.raises(SetupError, match=r"Cannot listen on 192\.0\.2\.1"):
        check(resolve(Ports(0, 0, 0)), "192.0.2.1", with_frontend=True)
