"""Tiny checkpoints with random weights, in diffusers' own layouts.

They make noise, quickly; parity with diffusers does not depend on what the weights are, and no parameter is left
at a value, such as a norm's 1, with which a graph that ignores it would be right as well.
"""

from export.tiny.layouts import LayoutName, build

__all__ = ["LayoutName", "build"]
