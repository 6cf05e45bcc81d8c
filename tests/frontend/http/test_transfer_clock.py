import pytest

from frontend.http.transfer_clock import TransferClock


@pytest.fixture
def clock() -> TransferClock:
    return TransferClock(stall_seconds=10, min_bytes_per_second=100)


def test_a_stall_spends_the_time(clock: TransferClock) -> None:
    assert clock.seconds_left == 10
    clock.waited(4, 0)
    assert clock.seconds_left == 6


def test_who_keeps_the_rate_has_time_for_ever(clock: TransferClock) -> None:
    for _ in range(1000):
        clock.waited(5, 500)
    assert clock.seconds_left == 10


def test_who_does_not_runs_out_of_time(clock: TransferClock) -> None:
    for _ in range(20):
        clock.waited(1, 50)
    assert clock.seconds_left == 0


def test_much_at_once_does_not_buy_a_longer_stall(clock: TransferClock) -> None:
    clock.waited(0, 10**9)
    assert clock.seconds_left == 10
