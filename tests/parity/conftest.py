"""Checkpoints beside diffusers, loaded once per session."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.conftest import Exported

from .compared import Compared


@pytest.fixture(scope="session")
def compared(tiny: Callable[[str], Exported]) -> Callable[[str], Compared]:
    """Random-weight checkpoints, by layout."""

    @cache
    def compare(layout: str) -> Compared:
        return Compared(tiny(layout))

    return compare
