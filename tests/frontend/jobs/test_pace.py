import pytest

from frontend.jobs.pace import Pace


def test_what_is_left_takes_as_long_as_what_was_done() -> None:
    pace = Pace()
    assert pace.seconds_left(0.0, 100.0) is None
    assert pace.seconds_left(0.2, 110.0) is None
    assert pace.seconds_left(0.4, 114.0) == pytest.approx(12.0)
    assert pace.seconds_left(1.0, 126.0) == 0.0


def test_a_job_that_goes_on_after_a_restart_is_measured_from_there() -> None:
    pace = Pace()
    pace.seconds_left(0.5, 1000.0)
    assert pace.seconds_left(0.75, 1010.0) == pytest.approx(10.0)
