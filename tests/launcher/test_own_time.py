import time

from launcher.own_time import Durations, OwnTime


def test_a_round_that_came_late_counts_as_one_round() -> None:
    clock = OwnTime(longest_round=0.01)
    for _ in range(3):
        time.sleep(0.05)
        clock.tick()
    assert 0.03 <= clock.now <= 0.0301


def test_a_value_lasts_until_it_changes() -> None:
    clock = OwnTime(longest_round=1.0)
    durations = Durations(clock)
    lasted = []
    for value in (1, 1, 1, 2, 2):
        lasted.append(durations.of("key", value))
        clock.now += 1
    assert lasted == [0, 1, 2, 0, 1]


def test_what_is_not_kept_begins_anew() -> None:
    clock = OwnTime(longest_round=1.0)
    durations = Durations(clock)
    durations.of("a", 1), durations.of("b", 1)
    clock.now += 5
    durations.keep({"a"})
    assert (durations.of("a", 1), durations.of("b", 1)) == (5, 0)
