"""A VAE's graphs, built and opened as the engine has them."""

from collections.abc import Sequence
from pathlib import Path

from export.attention import fuse_attention
from export.graph import BuiltGraph, Session, save
from runtime.banded_vae import BandedVae
from runtime.bands import BandPlan


class BuiltVae:
    """Writes the graphs into a folder and opens them."""

    def __init__(self, graphs: Sequence[BuiltGraph], plan: BandPlan, folder: Path) -> None:
        self.plan = plan
        self.files = [graph.file for graph in graphs]
        self._folder = folder
        for graph in graphs:
            model = graph.build()
            fuse_attention(model)
            save(model, folder / graph.file, external_above=2**31)

    def engine(self, budget: int | None = None) -> BandedVae:
        """An engine that gives a frame, or a band of it, so many bytes."""
        return BandedVae(lambda name: Session(self._folder / name).runtime, self.plan, budget)
