"""A VAE's decoder or encoder on ONNX Runtime: videos chunk by chunk, large frames in bands (see `runtime.bands`)."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import onnxruntime as ort

from runtime.bands import BandPlan
from runtime.engine import Tensor
from runtime.onnx_session import call, device_of
from runtime.tensors import rows, stack_rows, to_ort_value, zeros

WHOLE, MIDDLE, BANDS = "whole", "middle", "bands"
"""graphs: of frames that are not cut; of others, what sees the whole frame, and what computes it band by band"""
FIRST, NEXT = "first", "next"
"""for the first chunk of a video, which has one latent frame, and for the others"""
FEATURES = "features"
"""what goes between the graphs of frames that are cut"""

Caches = list[ort.OrtValue]
"""on the device that computed them"""


def file_name(part: str, chunk: str) -> str:
    """Of a graph in the version folder."""
    return f"{part}_{chunk}.onnx"


@dataclass(frozen=True)
class VideoState:
    """What the next chunk of a video needs."""

    heights: list[int]
    """latent rows of each band; one is not cut"""
    whole: Caches
    """of `WHOLE` or of `MIDDLE`"""
    bands: list[Caches]

    @property
    def is_cut(self) -> bool:
        return len(self.heights) > 1


class BandedVae:
    """Computes one chunk after the other.

    Args:
        load: opens a graph by its file name. Those of frames that are cut are opened when they are needed.
        budget: bytes that a frame may take that is not cut; None does not cut.
    """

    def __init__(self, load: Callable[[str], ort.InferenceSession], plan: BandPlan, budget: int | None) -> None:
        self._load = load
        self._plan = plan
        self._budget = budget
        chunks = (FIRST,) if plan.next is None else (FIRST, NEXT)
        self._whole = {chunk: load(file_name(WHOLE, chunk)) for chunk in chunks}
        self._parts: dict[tuple[str, str], ort.InferenceSession] = {}
        self.result: str = self._whole[FIRST].get_outputs()[0].name
        """name of the output"""

    def run(self, source: Tensor, before: VideoState | None, last: bool) -> tuple[ort.OrtValue, VideoState | None]:
        """Compute a chunk.

        Args:
            source: [batch, channels, frames, height, width], latents or pixels, in the dtype that the graphs ask for.
            before: what the chunk before left; None for the first of a video.
            last: no other chunk will follow.

        Returns:
            the result, of the same axes, on the device that computed it, and what the next chunk needs unless this is
            the last.
        """
        x = to_ort_value(source)
        chunk = FIRST if before is None else NEXT
        state = before or self._begin(x, last)
        whole, bands = state.whole, state.bands
        if not state.is_cut:
            x, whole = _run_whole(self._whole[chunk], x, whole, last)
        elif self._plan.encodes:
            x, bands = self._run_bands(chunk, x, state, last)
            x, whole = _run_whole(self._part(MIDDLE, chunk), x, whole, last)
        else:
            x, whole = _run_whole(self._part(MIDDLE, chunk), x, whole, last)
            x, bands = self._run_bands(chunk, x, state, last)
        return x, None if last else VideoState(state.heights, whole, bands)

    def frames(self, source: Tensor) -> int:
        """Of a chunk."""
        return int(to_ort_value(source).shape()[2])

    def nothing(self) -> ort.OrtValue:
        """The result for a chunk without frames."""
        return zeros((0,) * 5)

    def release(self, left: Collection[VideoState]) -> None:
        """Close the graphs of frames that are cut where no video that is left has any; a call that needs one opens it
        again."""
        if not any(state.is_cut for state in left):
            self._parts = {}

    def _begin(self, x: ort.OrtValue, last: bool) -> VideoState:
        """Nothing, in the bands that the video will be computed in."""
        batch, _, *size = x.shape()
        _, rows, width = self._plan.source_size(*size)
        chunks = self._plan.chunks(1 if last else 2)
        heights = self._plan.heights(rows, width * batch, self._budget, chunks)
        return VideoState(heights, [], [[] for _ in heights])

    def _run_bands(
        self, chunk: str, value: ort.OrtValue, state: VideoState, last: bool
    ) -> tuple[ort.OrtValue, list[Caches]]:
        """From the top of a frame to its bottom, each band with what the one above it left."""
        session = self._part(BANDS, chunk)
        device = device_of(session)
        output, *names = [node.name for node in session.get_outputs()]
        batch, _, *size = value.shape()
        frames, latent_rows, width = self._plan.source_size(*size)
        plans = self._plan.chunk(is_first=chunk == FIRST).carried
        carried: Sequence[Tensor] = [zeros(carried.shape(batch, frames, width), device) for carried in plans]
        scale = size[1] // latent_rows
        results, after, top = [], [], 0
        for number, height in enumerate(state.heights):
            is_bottom = number == len(state.heights) - 1
            band = rows(value, top * scale, (top + height) * scale)
            inputs = [band, zeros((int(is_bottom),)), *carried, *state.bands[number]]
            wanted = [output, *([] if is_bottom else names[: len(plans)]), *([] if last else names[len(plans) :])]
            result, *values = _call(session, inputs, wanted)
            results.append(result)
            state.bands[number].clear()  # the former caches of a band are not needed any more
            carried, caches = ([], values) if is_bottom else (values[: len(plans)], values[len(plans) :])
            after.append(caches)
            top += height
        return stack_rows(results), after

    def _part(self, part: str, chunk: str) -> ort.InferenceSession:
        session = self._parts.get((part, chunk))
        if session is None:
            session = self._parts[part, chunk] = self._load(file_name(part, chunk))
        return session


def _run_whole(
    session: ort.InferenceSession, x: ort.OrtValue, caches: Caches, last: bool
) -> tuple[ort.OrtValue, Caches]:
    outputs = [node.name for node in session.get_outputs()]
    result, *after = _call(session, [x, *caches], outputs[:1] if last else outputs)
    return result, after


def _call(session: ort.InferenceSession, inputs: Sequence[Tensor], outputs: Sequence[str]) -> list[ort.OrtValue]:
    """Run a graph on inputs in its order."""
    names = [node.name for node in session.get_inputs()]
    return call(session, dict(zip(names, map(to_ort_value, inputs), strict=True)), outputs)
