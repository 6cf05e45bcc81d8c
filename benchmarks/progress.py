"""Telling the person who waits what is being measured."""

from collections.abc import Callable

Say = Callable[[str], None]
"""Shows one line."""
