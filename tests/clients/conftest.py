"""The environments that `make clients-test` installs, and a server for the clients in them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.snippets import scripted_server

ENVIRONMENTS = Path(sys.prefix) / "clients"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with scripted_server(tmp_path_factory.mktemp("kept")) as url:
        yield url


@pytest.fixture(scope="session")
def libraries() -> Path:
    """The Python that has LiteLLM, LangChain and LlamaIndex."""
    return ENVIRONMENTS / "libraries" / "bin" / "python"


@pytest.fixture(scope="session")
def aiperf() -> Path:
    """The folder of its programs."""
    return ENVIRONMENTS / "aiperf" / "bin"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    return ENVIRONMENTS / "node" / "node_modules"
