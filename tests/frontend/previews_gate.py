"""Previews that wait until somebody listens, so that nobody misses one on a busy machine."""

from collections.abc import AsyncGenerator

import pytest

from frontend.jobs.events import Broadcast, JobEvent
from tests.frontend.fake_generator import FakeGenerator


def hold_previews(generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the first client listens to a job."""
    generator.previews_gate.clear()
    listen = Broadcast.listen

    def listening(broadcast: Broadcast, *, previews: bool = False) -> AsyncGenerator[JobEvent, None]:
        generator.previews_gate.set()
        return listen(broadcast, previews=previews)

    monkeypatch.setattr(Broadcast, "listen", listening)
