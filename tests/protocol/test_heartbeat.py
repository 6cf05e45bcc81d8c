import asyncio
import os
import time
from pathlib import Path

import pytest

from protocol import heartbeat
from protocol.heartbeat import HEARTBEAT_VARIABLE, Heartbeat
from tests.waiting import SECONDS


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a heartbeat of this process touches."""
    monkeypatch.setenv(HEARTBEAT_VARIABLE, str(tmp_path / "beat_"))
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.02)
    return tmp_path / f"beat_{os.getpid()}"


def beats(file: Path, seconds: float = 10) -> bool:
    """Whether it is touched within some time."""
    before, deadline = file.stat().st_mtime_ns, time.monotonic() + seconds
    while time.monotonic() < deadline:
        if file.stat().st_mtime_ns != before:
            return True
        time.sleep(0.01)
    return False


def test_it_beats_from_start_to_stop(file: Path) -> None:
    heart = Heartbeat()
    heart.start()
    assert beats(file)
    heart.stop()
    heart._thread.join(10)
    assert not file.exists()


async def test_once_an_event_loop_has_taken_over_a_loop_that_stands_still_is_silence(file: Path) -> None:
    heart = Heartbeat()
    heart.start()
    task = asyncio.create_task(heart.take_over())
    await asyncio.sleep(0.05)
    heart._thread.join(10)  # the thread leaves it to the loop
    assert await asyncio.to_thread(beats, file)
    assert not beats(file, seconds=0.3)  # while this blocks the loop
    task.cancel()


async def test_a_file_that_was_removed_ends_it(file: Path) -> None:
    heart = Heartbeat()
    heart.start()
    file.unlink()
    heart._thread.join(10)
    assert not heart._thread.is_alive()
    async with asyncio.timeout(SECONDS):
        await heart.take_over()
    assert not file.exists()


async def test_without_a_launcher_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HEARTBEAT_VARIABLE, raising=False)
    heart = Heartbeat()
    heart.start()
    async with asyncio.timeout(SECONDS):
        await heart.take_over()
    heart.stop()
