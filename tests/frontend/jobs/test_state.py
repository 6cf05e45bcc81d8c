from collections.abc import Callable

import pytest
from pydantic import ValidationError

from frontend.jobs.state import JobError, JobState, fraction_done
from protocol.events import Progress

ERROR = JobError(code="model_failed", message="the VAE died")
CHANGES: dict[str, Callable[[JobState], JobState]] = {
    "in_progress": lambda state: state.advanced(10, now=2.0),
    "completed": lambda state: state.completed(now=3.0),
    "failed": lambda state: state.failed(ERROR, now=3.0),
    "cancelled": lambda state: state.cancelled(now=3.0),
}


def told(steps_done: int, frames_done: int) -> Progress:
    return Progress(steps_done=steps_done, steps=10, frames_done=frames_done, frames=9)


ENDS = ["completed", "failed", "cancelled"]


def test_a_new_job_is_queued() -> None:
    state = JobState()
    assert (state.status, state.progress, state.is_finished) == ("queued", 0, False)
    assert (state.started_at, state.finished_at, state.error) == (None, None, None)


@pytest.mark.parametrize("before", ["queued", "in_progress"])
@pytest.mark.parametrize("after", CHANGES)
def test_a_job_that_has_not_ended_can_become_anything_else(before: str, after: str) -> None:
    state = JobState() if before == "queued" else CHANGES[before](JobState())
    changed = CHANGES[after](state)
    assert changed.status == after
    assert changed.is_finished == (after in ENDS)
    assert changed.finished_at == (3.0 if after in ENDS else None)
    assert state.status == before


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("after", CHANGES)
def test_a_job_that_has_ended_changes_no_more(end: str, after: str) -> None:
    ended = CHANGES[end](JobState())
    with pytest.raises(ValueError, match=f"a job that is {end} cannot become {after}"):
        CHANGES[after](ended)


def test_only_a_completed_job_is_at_100_per_cent() -> None:
    assert JobState().advanced(100, now=2.0).progress == 99
    assert JobState().advanced(100, now=2.0).completed(now=3.0).progress == 100
    assert JobState().advanced(40, now=2.0).failed(ERROR, now=3.0).progress == 40


def test_progress_never_goes_back_and_the_start_is_the_first_step() -> None:
    state = JobState().advanced(40, now=2.0).advanced(30, now=5.0)
    assert (state.progress, state.started_at) == (40, 2.0)


def test_a_failed_job_says_why() -> None:
    assert JobState().failed(ERROR, now=3.0).error == ERROR


def test_a_state_cannot_be_written_to() -> None:
    with pytest.raises(ValidationError):
        JobState().progress = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("progress", "parts", "percent"),
    [
        ([], 2, 0),
        ([told(0, 0)], 1, 0),
        ([told(5, 0)], 1, 45),
        ([told(10, 0)], 1, 90),
        ([told(10, 9)], 1, 100),
        ([told(10, 0)], 2, 45),
        (
            [
                told(10, 9),
                told(10, 9),
            ],
            2,
            100,
        ),
    ],
)
def test_the_parts_of_a_job_count_alike_and_denoising_most(progress: list[Progress], parts: int, percent: int) -> None:
    assert int(100 * fraction_done(progress, parts)) == percent
