from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frontend.jobs.postgres import postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Of a server that tests share; each makes a database of its own."""
    with postgres() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.sqlite"
