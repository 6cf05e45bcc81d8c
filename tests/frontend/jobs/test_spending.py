"""What hosted videos cost is counted before they are sent, and never exceeds what it may."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import make_url

from frontend.errors import QuotaExceeded
from frontend.jobs.limits import Budget, JobLimits
from frontend.jobs.spec import JobSpec
from frontend.jobs.spending import Spent
from frontend.jobs.state import Job, JobError
from frontend.jobs.table import JobTable
from protocol.errors import InvalidRequest
from tests.frontend.jobs.specs import hosted_spec, video_spec

PRICE = 0.2
"""of a `hosted_spec`"""
NOW = 1000 * 24 * 3600 + 12 * 3600.0
TODAY = 1000


@pytest.fixture(params=["sqlite", "postgresql"])
def table(request: pytest.FixtureRequest) -> Iterator[JobTable]:
    name = "sqlite_url" if request.param == "sqlite" else "postgres_database"
    table = JobTable(make_url(request.getfixturevalue(name)))
    table.open()
    yield table
    table.close()


def create(table: JobTable, number: int, owner: str | None = None, budget: Budget = Budget(), n: int = 1) -> Job:  # noqa: B008
    spec = hosted_spec(n, job_id=f"video_{number}", created_at=NOW)
    return table.create(Job(spec=spec, owner=owner, fence=1), JobLimits(budget=budget))


def spent(table: JobTable, owner: str | None = None) -> float:
    return round(sum(one.dollars for one in table.spending.since(0, owner)), 6)


def test_it_is_counted_by_key_day_and_model(table: JobTable) -> None:
    create(table, 1, "ann")
    create(table, 2, "ann", n=3)
    create(table, 3)
    (of_ann,) = table.spending.since(TODAY, "ann")
    assert replace(of_ann, dollars=0) == Spent(TODAY, "ann", "wavespeed", "hunyuan-video-1.5", 4, 0)
    assert of_ann.dollars == pytest.approx(4 * PRICE)
    assert spent(table) == pytest.approx(5 * PRICE)
    assert table.spending.since(TODAY + 1) == []


def test_a_request_may_cost_no_more_than_its_limit(table: JobTable) -> None:
    budget = Budget(per_request=2 * PRICE)
    create(table, 1, budget=budget, n=2)
    with pytest.raises(InvalidRequest, match=r"would cost \$0\.60, and a request may cost \$0\.40"):
        create(table, 2, budget=budget, n=3)
    assert spent(table) == pytest.approx(2 * PRICE)
    assert table.get("video_2") is None


def test_jobs_at_the_same_time_do_not_exceed_a_day_s_limit(table: JobTable) -> None:
    budget = Budget(per_day=5 * PRICE, per_day_of_key=3 * PRICE)

    def try_to(number: int) -> bool:
        try:
            create(table, number, ["ann", "ben"][number % 2], budget)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(try_to, range(16)))
    assert sum(taken) == 5
    assert spent(table) == pytest.approx(5 * PRICE)
    assert max(spent(table, "ann"), spent(table, "ben")) == pytest.approx(3 * PRICE)
    with pytest.raises(QuotaExceeded, match=r"all keys spent \$1\.00 today, and may spend \$1\.00") as refused:
        create(table, 99, budget=budget)
    assert refused.value.retry_after == 12 * 3600


@pytest.mark.parametrize("way", ["failed", "cancelled elsewhere"])
def test_what_was_not_sent_is_given_back(table: JobTable, way: str) -> None:
    job = create(table, 1, n=3)
    assert table.submit(job, {1: '{"id": "taken"}'})
    if way == "failed":
        table.finish(job.with_state(job.state.failed(JobError(code="x", message="y"), time.time())))
    else:
        table.end("video_1", job.state.cancelled(time.time()))
    assert spent(table) == pytest.approx(PRICE)


def test_what_is_made_is_paid_for(table: JobTable) -> None:
    job = create(table, 1)
    table.submit(job, {0: '{"id": "taken"}'})
    table.finish(job.with_state(job.state.completed(time.time())))
    assert spent(table) == pytest.approx(PRICE)


def test_what_is_made_here_costs_nothing(table: JobTable) -> None:
    table.create(Job(spec=video_spec(), fence=1), JobLimits(budget=Budget(per_request=0.01, per_day=0.01)))
    assert table.spending.since(0) == []


def test_a_hosted_job_is_read_as_it_was_written(table: JobTable) -> None:
    job = create(table, 1, n=2)
    table.submit(job, {0: "", 1: '{"id": "taken"}'})
    found = table.get("video_1")
    assert found is not None
    assert isinstance(found.spec, JobSpec)
    assert (found.spec, found.submissions) == (job.spec, {0: "", 1: '{"id": "taken"}'})
