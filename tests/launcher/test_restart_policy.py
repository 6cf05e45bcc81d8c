import pytest

from launcher.errors import KeepsDyingError
from launcher.restart_policy import RestartPolicy


def test_first_death_is_answered_at_once_and_later_ones_ever_later() -> None:
    policy = RestartPolicy(limit=5, window=300)
    assert [policy.delay("generate", now) for now in range(5)] == [0, 0.5, 1, 2, 4]


def test_delay_has_a_limit() -> None:
    policy = RestartPolicy(limit=20, window=300)
    assert max(policy.delay("generate", now=0) for _ in range(20)) == 30


def test_one_more_than_the_limit_within_the_window_is_the_end() -> None:
    policy = RestartPolicy(limit=2, window=300)
    policy.delay("generate", now=0)
    policy.delay("generate", now=299)
    with pytest.raises(KeepsDyingError, match="generate died 3 times within 300 s"):
        policy.delay("generate", now=300)


def test_deaths_before_the_window_are_forgotten() -> None:
    policy = RestartPolicy(limit=1, window=300)
    policy.delay("generate", now=0)
    assert policy.delay("generate", now=301) == 0


def test_names_are_counted_apart() -> None:
    policy = RestartPolicy(limit=1, window=300)
    policy.delay("generate", now=0)
    assert policy.delay("wan_vae", now=0) == 0
