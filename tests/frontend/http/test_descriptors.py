import asyncio
import errno
import resource
from collections.abc import Iterator

import pytest

from frontend.http.descriptors import LoopErrors, connections_possible


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_is_raised_no_further_than_needed() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    assert connections_possible(512) == 512
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (768, hard)


def test_a_limit_that_is_high_enough_stays() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections_possible(32) == 32
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


async def test_a_flood_of_exhaustion_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    handler, loop = LoopErrors(), asyncio.get_running_loop()
    for _ in range(1000):
        handler(loop, {"message": "out of system resource", "exception": OSError(errno.EMFILE, "Too many open files")})
    assert len(caplog.records) == 1
    assert "Too many open files" in caplog.text


async def test_other_errors_are_logged_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    LoopErrors()(asyncio.get_running_loop(), {"message": "something else", "exception": ValueError("it broke")})
    assert "something else" in caplog.text
    assert "it broke" in caplog.text
