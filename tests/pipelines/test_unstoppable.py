"""What cannot be stopped is waited for, also by those who are cancelled."""

import asyncio

import pytest

from pipelines.unstoppable import until_done


async def test_the_result_and_the_error_come_through() -> None:
    loop = asyncio.get_running_loop()
    assert await until_done(loop.run_in_executor(None, lambda: 7)) == 7
    with pytest.raises(ZeroDivisionError):
        await until_done(loop.run_in_executor(None, lambda: 1 // 0))


@pytest.mark.parametrize("error", [None, RuntimeError("unheard")])
async def test_one_who_is_cancelled_ends_with_the_call(error: Exception | None) -> None:
    call: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(until_done(call))
    await asyncio.sleep(0)

    waiting.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    if error is None:
        call.set_result(7)
    else:
        call.set_exception(error)

    with pytest.raises(asyncio.CancelledError):
        await waiting
