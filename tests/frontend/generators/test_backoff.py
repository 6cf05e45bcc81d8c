import pytest

from frontend.generators.backoff import FIRST_SECONDS, MAX_SECONDS, Backoff


def test_pauses_double_up_to_a_cap() -> None:
    backoff = Backoff(chance=lambda: 0.0)
    now, pauses = 100.0, []
    for _ in range(8):
        backoff.fail(now)
        pauses.append(backoff.seconds_left(now))
        now += pauses[-1]
        assert backoff.seconds_left(now) == 0
    assert pauses == [min(FIRST_SECONDS * 2**n, MAX_SECONDS) for n in range(8)]
    assert pauses[-1] == MAX_SECONDS


@pytest.mark.parametrize(("chance", "share"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_a_random_part_of_each_is_left_out(chance: float, share: float) -> None:
    backoff = Backoff(chance=lambda: chance)
    backoff.fail(0.0)
    assert backoff.seconds_left(0.0) == share * FIRST_SECONDS


def test_what_fails_during_a_pause_does_not_make_it_longer() -> None:
    backoff = Backoff(chance=lambda: 0.0)
    for _ in range(10):
        backoff.fail(0.0)
    assert backoff.seconds_left(0.0) == FIRST_SECONDS
    backoff.fail(FIRST_SECONDS)
    assert backoff.seconds_left(FIRST_SECONDS) == 2 * FIRST_SECONDS


def test_success_ends_it() -> None:
    backoff = Backoff(chance=lambda: 0.0)
    assert backoff.seconds_left(0.0) == 0
    backoff.fail(0.0)
    backoff.fail(FIRST_SECONDS)
    backoff.succeed()
    assert backoff.seconds_left(FIRST_SECONDS) == 0
    backoff.fail(FIRST_SECONDS)
    assert backoff.seconds_left(FIRST_SECONDS) == FIRST_SECONDS
