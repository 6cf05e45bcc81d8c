import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from frontend.jobs.table import JobTable
from tests.frontend.jobs.postgres import postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Of a server that tests share; each makes a database of its own."""
    with postgres() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.sqlite"


@pytest.fixture
def postgres_database(postgres_url: str) -> str:
    """A new one."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def table(request: pytest.FixtureRequest) -> Iterator[JobTable]:
    url = None
    if request.param == "sqlite":
        url = make_url(request.getfixturevalue("sqlite_url"))
    elif request.param == "postgresql":
        url = make_url(request.getfixturevalue("postgres_database")).set(drivername="postgresql+psycopg")
    table = JobTable(url)
    table.open()
    yield table
    table.close()
