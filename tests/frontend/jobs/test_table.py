"""The table of jobs, in memory and on both databases."""

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from frontend.jobs.listing import JobQuery
from frontend.jobs.state import Job, JobError, JobState
from frontend.jobs.table import JobTable
from tests.frontend.jobs.specs import completed, image_spec, video_spec


def made(table: JobTable, job_id: str, *, created_at: float = 1000.0, owner: str | None = None) -> Job:
    job = Job(spec=video_spec(job_id=job_id, created_at=created_at), owner=owner)
    return table.create(job)


def claimed(table: JobTable, job_id: str) -> Job:
    claim = table.claim(job_id)
    assert claim is not None
    return claim.job


def done(job: Job) -> Job:
    return completed(job.spec).model_copy(update={"fence": job.fence, "turn": job.turn})


def ids(table: JobTable, now: float = 2000.0, **options: object) -> str:
    """Of the jobs in a page, whose ids are letters; with a + where there are more."""
    page = table.page(JobQuery(**{"owner": None, "kind": "video", "limit": 100, "order": "asc", **options}), now)  # type: ignore[arg-type]
    assert page is not None
    return "".join(job.spec.id for job in page.jobs) + "+" * page.has_more


# One job


def test_a_job_is_kept_with_everything_but_its_image(table: JobTable) -> None:
    job = table.create(Job(spec=video_spec(2, "a"), owner="ann", request_hash="f" * 64))
    image = table.create(Job(spec=image_spec()))
    assert table.get("a") == job
    assert table.get("image_1") == image
    assert table.get("b") is None


def test_a_finished_job_is_kept_with_its_report(table: JobTable) -> None:
    made(table, "a")
    job = done(claimed(table, "a"))
    assert table.finish(job)
    assert table.get("a") == job


def test_a_failed_job_says_why(table: JobTable) -> None:
    made(table, "a")
    job = claimed(table, "a")
    failed = job.with_state(job.state.failed(JobError(code="c", message="m", field="f"), 1001.0))
    assert table.finish(failed)
    assert table.get("a") == failed


def test_each_claim_is_a_run_of_its_own_and_only_the_last_ones_word_counts(table: JobTable) -> None:
    made(table, "a")
    first, second = claimed(table, "a"), claimed(table, "a")
    assert (first.fence, second.fence) == (1, 2)
    table.update([first.with_state(first.state.advanced(80, 1001.0))])
    assert not table.finish(done(first))
    assert table.get("a") == second
    assert table.lost([first]) == {"a"}
    assert table.lost([second]) == set()
    assert table.finish(done(second))
    assert table.get("a") == done(second)


def test_a_job_that_has_ended_is_not_claimed_and_ends_only_once(table: JobTable) -> None:
    made(table, "a")
    job = claimed(table, "a")
    assert table.finish(done(job))
    assert table.claim("a") is None
    assert not table.finish(done(job))
    assert not table.end("a", JobState().cancelled(1002.0))
    assert table.lost([job]) == {"a"}
    assert table.claim("b") is None


def test_progress_survives_and_so_does_its_run(table: JobTable) -> None:
    made(table, "a")
    job = claimed(table, "a")
    job = job.with_state(job.state.advanced(45, 1001.0))
    table.update([job])
    assert table.get("a") == job
    assert claimed(table, "a").state == job.state


def test_who_runs_a_job_that_was_cancelled_has_lost_it(table: JobTable) -> None:
    made(table, "a")
    job = claimed(table, "a")
    assert table.end("a", job.state.cancelled(1001.0))
    assert table.lost([job]) == {"a"}
    assert not table.finish(done(job))
    kept = table.get("a")
    assert kept is not None
    assert (kept.state.status, kept.state.finished_at) == ("cancelled", 1001.0)


def test_runs_are_counted_but_for_those_that_were_parked(table: JobTable) -> None:
    made(table, "a")
    attempts = []
    for parked in (False, True, False):
        claim = table.claim("a")
        assert claim is not None
        attempts.append(claim.attempts)
        if parked:
            table.release(claim.job)
    assert attempts == [1, 2, 2]


def test_whoever_claims_a_job_is_told_whether_it_starts_from_an_image(table: JobTable) -> None:
    made(table, "a")
    table.create(Job(spec=video_spec(job_id="b").starting_from(np.zeros((16, 32, 3), np.uint8))))
    for job_id, has_image in (("a", False), ("b", True)):
        claim = table.claim(job_id)
        assert claim is not None
        assert (claim.job.has_image, claim.attempts, claim.job.spec.image) == (has_image, 1, None)


def test_a_table_of_an_earlier_release_gets_the_columns_that_it_lacks(table: JobTable) -> None:
    made(table, "a")
    with table._engine.begin() as connection:
        connection.execute(text("ALTER TABLE tritonreel_jobs DROP COLUMN started_at"))
    table.open()
    assert table.finish(done(claimed(table, "a")))


def test_an_earlier_releases_table_gets_the_indexes_that_it_lacks(table: JobTable) -> None:
    with table._engine.begin() as connection:
        connection.execute(text("DROP INDEX tritonreel_jobs_idempotency"))
    table.open()
    table.create(Job(spec=video_spec(job_id="a"), idempotency="k"))
    with pytest.raises(IntegrityError):
        table.create(Job(spec=video_spec(job_id="b"), idempotency="k"))


# Creates that come again


def test_one_job_has_a_key_and_counts_who_has_found_it(table: JobTable) -> None:
    table.create(Job(spec=video_spec(job_id="a"), idempotency="k"))
    for other in ("b", "c"):
        table.create(Job(spec=video_spec(job_id=other)))
    with pytest.raises(IntegrityError):
        table.create(Job(spec=video_spec(job_id="d"), idempotency="k"))
    for count in (1, 2):
        found = table.repeated("k")
        assert found is not None
        assert (found.spec.id, found.repeats, table.repeats("a")) == ("a", count, count)
    assert table.repeated("other") is None
    assert table.repeats("b") == table.repeats("nobody") == 0
    table.free("a")
    assert table.repeated("k") is None
    table.create(Job(spec=video_spec(job_id="d"), idempotency="k"))


def test_a_retry_finds_the_last_equal_request_that_came_to_something(table: JobTable) -> None:
    for job_id, created_at in (("old", 900.0), ("a", 1001.0), ("b", 1002.0), ("c", 1003.0)):
        table.create(Job(spec=video_spec(job_id=job_id, created_at=created_at), request_hash="h"))
    for job_id in ("c", "b", "a"):
        found = table.retried("h", 1000.0)
        assert found is not None
        assert found.spec.id == job_id
        assert table.end(job_id, JobState().cancelled(1010.0))
    assert table.retried("h", 1000.0) is None
    assert table.retried("other", 0.0) is None


def test_a_secret_is_the_same_for_all_and_for_ever(table: JobTable) -> None:
    secret = table.secret("urls")
    assert len(secret) == 32
    table.open()
    assert table.secret("urls") == secret != table.secret("other")


# Lists


def test_jobs_are_listed_in_the_order_of_their_creation_page_by_page(table: JobTable) -> None:
    for job_id, created_at in (("c", 1000.5), ("a", 1000.5), ("d", 1000.5), ("b", 1000.500001), ("e", 999.0)):
        made(table, job_id, created_at=created_at)
    assert ids(table) == "eacdb"
    assert ids(table, order="desc") == "bdcae"
    assert ids(table, limit=2) == "ea+"
    assert ids(table, limit=2, after="a") == "cd+"
    assert ids(table, limit=2, after="d") == "b"
    assert ids(table, limit=2, after="b", order="desc") == "dc+"
    assert ids(table, after="b") == ""
    assert ids(table, limit=0) == "+"


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("GRÜN", "ab"),
        ("grün_", "a"),
        ("100%", "a"),
        ("%", "a"),
        ("/", "b"),
        ("\\", "b"),
        ("'", "b"),
        ("\0", "b"),
        ("x", ""),
    ],
)
def test_jobs_are_found_by_a_part_of_their_prompt(table: JobTable, search: str, found: str) -> None:
    """On both databases alike, whatever they take for wildcards and for upper case."""
    for job_id, prompt in (("a", "100% Grün_Gelb"), ("b", "Grüne 'a\\b/c' \0 \N{FOX FACE}")):
        spec = video_spec(job_id=job_id)
        samples = tuple(sample.model_copy(update={"prompt": prompt}) for sample in spec.samples)
        table.create(Job(spec=spec.model_copy(update={"samples": samples})))
    assert ids(table, search=search) == found


def test_a_list_may_be_of_one_kind_state_or_model(table: JobTable) -> None:
    for job_id in "ab":
        made(table, job_id)
    table.create(Job(spec=image_spec()))
    assert table.finish(done(claimed(table, "b")))
    assert ids(table, kind=None) == "abimage_1"
    assert ids(table, kind="image") == "image_1"
    assert ids(table, status="completed") == "b"
    assert ids(table, status="queued", after="a", kind=None) == "image_1"
    assert ids(table, kind=None, model="toy-wan-t2v") == "ab"
    assert ids(table, kind=None, model="a\0") == ""


def test_jobs_of_an_earlier_release_are_found_too(table: JobTable) -> None:
    made(table, "a")
    with table._engine.begin() as connection:
        connection.execute(text("DROP INDEX tritonreel_jobs_model"))
        for column in ("model", "prompt"):
            connection.execute(text(f"ALTER TABLE tritonreel_jobs DROP COLUMN {column}"))
    table.open()
    assert ids(table, model="toy-wan-t2v", search="FOX") == "a"


def test_a_job_that_cannot_be_read_does_not_keep_the_table_from_opening(table: JobTable) -> None:
    for job_id in "ab":
        made(table, job_id)
    with table._engine.begin() as connection:
        connection.execute(text("UPDATE tritonreel_jobs SET model = NULL"))
        connection.execute(text("UPDATE tritonreel_jobs SET spec = '{}' WHERE id = 'a'"))
    table.open()
    assert ids(table, search="fox", after="a") == "b"


def test_a_page_after_an_unknown_job_is_none(table: JobTable) -> None:
    assert table.page(JobQuery(None, after="x"), 0.0) is None


def test_pages_are_stable_while_jobs_come(table: JobTable) -> None:
    for job_id in "bd":
        made(table, job_id)
    assert ids(table, limit=1, order="desc") == "d+"
    made(table, "e", created_at=1001.0)
    assert ids(table, limit=1, order="desc", after="d") == "b"


def test_each_owner_sees_its_own_jobs(table: JobTable) -> None:
    made(table, "a", owner="ann")
    made(table, "b", owner="bob")
    made(table, "c")
    assert ids(table, owner="ann") == "a"
    assert ids(table) == "abc"


def test_videos_are_not_listed_among_images(table: JobTable) -> None:
    made(table, "a")
    table.create(Job(spec=image_spec()))
    assert ids(table) == "a"


def test_what_has_expired_is_not_listed(table: JobTable) -> None:
    made(table, "a")
    table.end("a", JobState().cancelled(1001.0).model_copy(update={"expires_at": 1500.0}))
    assert ids(table, now=1499.0) == "a"
    assert ids(table, now=1500.0) == ""
    assert table.expired(1499.0, 10) == ()
    assert table.expired(1500.0, 10) == ("a",)
    assert table.unknown(["a", "b"]) == {"b"}
    table.remove(["a"])
    assert table.get("a") is None


def test_unfinished_jobs_are_those_of_before_that_have_not_ended(table: JobTable) -> None:
    for job_id, created_at in (("a", 1000.0), ("b", 1000.0), ("c", 1000.0), ("d", 1006.0)):
        made(table, job_id, created_at=created_at)
    claimed(table, "b")
    table.end("c", JobState().cancelled(1001.0))
    assert sorted(table.unfinished(1005.0)) == ["a", "b"]


# Processes


def test_a_process_is_dead_that_has_not_said_that_it_lives(table: JobTable) -> None:
    table.beat("a")
    table.beat("a")
    table.beat("b")
    assert table.dead(["a", "b", "c"], 60) == {"c"}
    assert table.dead(["a", "b"], -60) == {"a", "b"}
    table.leave("b")
    assert table.dead(["a", "b"], 60) == {"b"}
