"""Seconds of jobs, by API key and day."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import make_url

from frontend.errors import QuotaExceeded
from frontend.jobs.table import JobTable
from frontend.jobs.usage import Usage, check_quota

DAY = 24 * 3600
NOON = 1000 * DAY + DAY / 2


@pytest.fixture(params=["sqlite", "postgresql"])
def usage(request: pytest.FixtureRequest) -> Iterator[Usage]:
    name = "sqlite_url" if request.param == "sqlite" else "postgres_database"
    table = JobTable(make_url(request.getfixturevalue(name)))
    table.open()
    yield table.usage
    table.close()


def test_what_several_add_is_added_up_by_key_and_day(usage: Usage) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: usage.add("ann", NOON, 0.5), range(40)))
    usage.add("ben", NOON, 3)
    usage.add("ann", NOON + DAY, 7)
    assert usage.seconds("ann", NOON + DAY / 2 - 1) == 20
    assert usage.seconds("ann", NOON + DAY / 2) == 7
    assert usage.seconds("ben", NOON) == 3
    assert usage.seconds("eve", NOON) == 0


def test_old_days_are_forgotten(usage: Usage) -> None:
    usage.add("ann", NOON, 1)
    usage.add("ann", NOON + 40 * DAY, 1)
    assert usage.seconds("ann", NOON) == 0


def test_a_key_may_go_on_at_midnight() -> None:
    check_quota("ann", 59.9, 60, NOON)
    with pytest.raises(QuotaExceeded, match="key ann have run for 61 s today, and may for 60 s") as refused:
        check_quota("ann", 61, 60, NOON)
    assert refused.value.retry_after == DAY / 2
