from launcher.restart_policy import RestartPolicy


def test_first_death_is_answered_at_once_and_later_ones_ever_later() -> None:
    policy = RestartPolicy(limit=5, window=300)
    assert [policy.died("generate", now).delay for now in range(5)] == [0, 0.5, 1, 2, 4]


def test_the_delay_has_a_limit_however_often_it_dies() -> None:
    policy = RestartPolicy(limit=5, window=300)
    assert max(policy.died("generate", now=0).delay for _ in range(2000)) == 60


def test_what_dies_more_often_than_the_limit_keeps_dying() -> None:
    policy = RestartPolicy(limit=2, window=300)
    deaths = [policy.died("generate", now) for now in (0, 299, 300, 600)]
    assert [death.keeps_dying for death in deaths] == [False, False, True, True]
    assert deaths[-1].deaths == 4


def test_a_death_long_after_the_last_is_a_first_one() -> None:
    policy = RestartPolicy(limit=1, window=300)
    for _ in range(3):
        policy.died("generate", now=0)
    late = policy.died("generate", now=301)
    assert (late.delay, late.deaths, late.keeps_dying) == (0, 1, False)


def test_names_are_counted_apart() -> None:
    policy = RestartPolicy(limit=1, window=300)
    policy.died("generate", now=0)
    assert policy.died("wan_vae", now=0).delay == 0
