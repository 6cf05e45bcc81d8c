"""How a VAE computes large frames: `bands.json`, which an export writes beside its graphs.

Attention needs the whole frame, and happens at the size of the latents, where that is small. The rest, which is most
of the work and of the memory, is done in bands of rows (see `export.carried_rows`), as high as memory allows.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from runtime.version_file import VersionFile

BAND_BYTES = 128 * 2**20
"""on a CPU, what a frame may take that is not cut: beyond it bands are faster, for whatever channels a VAE has"""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CarriedShape(_Frozen):
    """Rows that a layer hands from each band to the one below: [batch, channels, frames, rows, width]."""

    channels: int
    frames_per_latent: int
    more_frames: int
    """however many latent frames there are"""
    are_images: bool
    """[batch * frames, channels, rows, width]"""
    rows: int
    """those of zeros, which the first band begins with"""
    width_per_latent: int

    def shape(self, batch: int, frames: int, width: int) -> tuple[int, ...]:
        """The shape of the zeros that the first band begins with; sizes in latents."""
        frames = self.frames_per_latent * frames + self.more_frames
        videos = (batch * frames, self.channels) if self.are_images else (batch, self.channels, frames)
        return (*videos, self.rows, self.width_per_latent * width)


class ChunkPlan(_Frozen):
    """One kind of chunk. All bytes are for one latent frame of one video, and with what is kept for the next chunk."""

    carried: tuple[CarriedShape, ...]
    whole_bytes: int
    """greatest memory of a frame that is not cut, per latent pixel"""
    middle_bytes: int
    """greatest memory of what sees the whole frame, per latent pixel"""
    band_bytes: int
    """greatest memory of a band, per latent pixel of the band"""
    column_bytes: int
    """and besides, per latent column"""
    weight_bytes: int
    """of the graphs that are loaded for frames in bands"""


class BandPlan(VersionFile):
    """What the engine has to know about a VAE."""

    file_name = "bands.json"
    describes = "graphs"

    encodes: bool
    """bands of pixels, then the whole of their features; a decoder is the other way round"""
    spatial_stride: int
    temporal_stride: int
    feature_bytes: int
    """of what goes from one to the other, per latent pixel"""
    cache_bytes: int
    """of what a video keeps from chunk to chunk, per latent pixel"""
    lead: int
    """latent rows that the result of a band ends above the band's own end, rounded up"""
    first: ChunkPlan
    next: ChunkPlan | None
    """None for a VAE of images"""

    def chunk(self, is_first: bool) -> ChunkPlan:
        """The first chunk of a video, or a later one."""
        return self.first if is_first or self.next is None else self.next

    def source_size(self, frames: int, rows: int, width: int) -> tuple[int, int, int]:
        """In latents: frames, rows and width of what the bands are cut from."""
        if not self.encodes:
            return frames, rows, width
        return -(-frames // self.temporal_stride), rows // self.spatial_stride, width // self.spatial_stride

    def chunks(self, frames: int) -> list[ChunkPlan]:
        """The kinds of chunks of a video of so many latent frames."""
        return [self.first] if frames == 1 or self.next is None else [self.first, self.next]

    def heights(self, rows: int, width: int, budget: int | None, chunks: Sequence[ChunkPlan]) -> list[int]:
        """Latent rows of each band, from the top, of a frame of `rows` x `width` latents; one is not to be cut.

        Args:
            budget: bytes that a frame may take that is not cut; None does not cut. A band takes half of them, which is
                as fast, but has at least a row.
            chunks: the kinds of chunks that are to come.
        """
        whole = max(chunk.whole_bytes for chunk in chunks) * rows * width
        if budget is None or whole <= budget:
            return [rows]
        affordable = min(_affordable(chunk, width, budget // 2) for chunk in chunks)
        # a band gives what lies `lead` rows higher: the first one fewer rows than it is given, the last one more
        last = max(affordable - self.lead, 1)
        if rows < self.lead + 1 + last:
            return [rows]
        heights = [min(affordable + self.lead, rows - last)]
        while (left := rows - sum(heights)) > last:
            heights.append(min(affordable, left - last))
        return [*heights, left]

    def held_bytes(self, rows: int, width: int) -> int:
        """What a video of `rows` x `width` latents and several frames keeps from chunk to chunk."""
        return self.cache_bytes * rows * width

    def peak_bytes(self, rows: int, width: int, frames: int, budget: int | None) -> int:
        """The greatest memory that a video of so many latents takes while one of its frames is computed.

        That is besides the weights of the graphs that are always loaded; what the video keeps from chunk to chunk is in
        it.
        """
        chunks = self.chunks(frames)
        heights = self.heights(rows, width, budget, chunks)
        pixels = rows * width
        held = self.held_bytes(rows, width) if len(chunks) > 1 else 0
        # the frames as the model gets or gives them, here and on their way
        moved = 2 * 3 * 4 * self.spatial_stride**2 * (self.temporal_stride if len(chunks) > 1 else 1) * pixels
        if len(heights) == 1:
            return held + moved + max(chunk.whole_bytes for chunk in chunks) * pixels
        band = max(_band_bytes(chunk, self._results(heights), width) for chunk in chunks)
        middle = max(chunk.middle_bytes for chunk in chunks) * pixels
        weights = sum(chunk.weight_bytes for chunk in chunks)
        return held + moved + weights + self.feature_bytes * pixels + max(band, middle)

    def _results(self, heights: list[int]) -> int:
        """Latent rows of the highest band's result."""
        first, *between, last = heights
        return max(first - self.lead, *between, last + self.lead)


def _affordable(chunk: ChunkPlan, width: int, budget: int) -> int:
    """The height of a band that takes so many bytes."""
    return max(1, (budget // width - chunk.column_bytes) // chunk.band_bytes)


def _band_bytes(chunk: ChunkPlan, rows: int, width: int) -> int:
    return (chunk.band_bytes * rows + chunk.column_bytes) * width
