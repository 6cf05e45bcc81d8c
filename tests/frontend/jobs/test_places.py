import asyncio

from frontend.jobs.places import Places


async def _run(places: Places, name: str, turn: int, order: list[str]) -> None:
    await places.acquire((turn, 0, ""))
    order.append(name)
    places.release()


async def _waiting(places: Places, turns: dict[str, int], order: list[str]) -> dict[str, asyncio.Task[None]]:
    tasks = {name: asyncio.create_task(_run(places, name, turn, order)) for name, turn in turns.items()}
    await asyncio.sleep(0)
    return tasks


async def test_a_free_place_is_taken_at_once() -> None:
    places = Places(2)
    assert [places.take() for _ in range(3)] == [True, True, False]
    assert (places.taken, places.is_full) == (2, True)
    places.release()
    assert (places.taken, places.is_full) == (1, False)


async def test_the_least_turn_comes_next_and_of_equal_ones_whoever_came_first() -> None:
    places, order = Places(1), list[str]()
    assert places.take()
    tasks = await _waiting(places, {"c1": 3, "a1": 1, "c2": 3, "b1": 2, "a2": 1}, order)
    assert order == []
    places.release()
    await asyncio.gather(*tasks.values())
    assert order == ["a1", "a2", "b1", "c1", "c2"]
    assert places.taken == 0


async def test_who_stops_waiting_is_passed_over() -> None:
    places, order = Places(1), list[str]()
    assert places.take()
    tasks = await _waiting(places, {"a": 1, "b": 2}, order)
    tasks["a"].cancel()
    await asyncio.wait((tasks["a"],))
    places.release()
    await tasks["b"]
    assert order == ["b"]
    assert places.taken == 0


async def test_who_is_cancelled_while_it_gets_a_place_gives_it_on() -> None:
    places, order = Places(1), list[str]()
    assert places.take()
    tasks = await _waiting(places, {"a": 1, "b": 2}, order)
    places.release()
    tasks["a"].cancel()
    await asyncio.wait(tasks.values())
    assert order == ["b"]
    assert places.taken == 0


async def test_nobody_overtakes_those_who_wait() -> None:
    places = Places(1)
    assert places.take()
    waiting = asyncio.create_task(places.acquire((5, 0, "")))
    await asyncio.sleep(0)
    places.release()
    assert not places.take()
    await waiting
