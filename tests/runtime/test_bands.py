"""The bands of a frame, and the memory that they take."""

from pathlib import Path

import pytest

from runtime.bands import BandPlan, CarriedShape, ChunkPlan

MIB = 2**20
FIRST = ChunkPlan(
    carried=(), whole_bytes=70_000, middle_bytes=1_500, band_bytes=70_000, column_bytes=130_000, weight_bytes=300_000
)
NEXT = ChunkPlan(
    carried=(), whole_bytes=110_000, middle_bytes=1_800, band_bytes=118_000, column_bytes=300_000, weight_bytes=700_000
)
PLAN = BandPlan(
    encodes=False,
    spatial_stride=8,
    temporal_stride=4,
    feature_bytes=128,
    cache_bytes=60_000,
    lead=13,
    first=FIRST,
    next=NEXT,
)


@pytest.mark.parametrize("rows", [1, 13, 14, 15, 16, 60, 128, 256, 1000])
@pytest.mark.parametrize("width", [1, 8, 104, 256])
@pytest.mark.parametrize("mib", [1, 64, 256, 1024])
def test_the_bands_of_a_frame_are_its_rows_and_the_first_goes_beyond_what_it_holds_back(
    rows: int, width: int, mib: int
) -> None:
    heights = PLAN.heights(rows, width, mib * MIB, [FIRST, NEXT])
    assert sum(heights) == rows
    assert min(heights) >= 1
    assert len(heights) == 1 or heights[0] > PLAN.lead


@pytest.mark.parametrize(("mib", "cut"), [(None, False), (100_000, False), (256, True)])
def test_a_frame_is_cut_when_it_does_not_fit(mib: int | None, cut: bool) -> None:
    assert (len(PLAN.heights(256, 256, mib and mib * MIB, [FIRST])) > 1) == cut


def test_an_image_is_cut_less_than_the_frames_of_a_video_that_take_more() -> None:
    budget = 256 * MIB
    assert len(PLAN.heights(256, 256, budget, PLAN.chunks(1))) < len(PLAN.heights(256, 256, budget, PLAN.chunks(2)))


@pytest.mark.parametrize("mib", [512, 1024])
@pytest.mark.parametrize("frames", [1, 9])
def test_memory_is_what_is_kept_and_one_band_of_what_is_computed(mib: int, frames: int) -> None:
    kept = PLAN.held_bytes(256, 256) if frames > 1 else 0
    whole = PLAN.peak_bytes(256, 256, frames, None) - kept
    cut = PLAN.peak_bytes(256, 256, frames, mib * MIB) - kept
    assert cut < whole / 2
    assert cut < (mib + 600) * MIB, "with the frames themselves, twice, and the features"


def test_memory_does_not_grow_with_the_length_of_a_video() -> None:
    assert PLAN.peak_bytes(60, 104, 2, None) == PLAN.peak_bytes(60, 104, 41, None)


def test_the_first_band_begins_with_zeros_of_the_size_that_a_layer_carries() -> None:
    shape = CarriedShape(channels=96, frames_per_latent=4, more_frames=2, are_images=False, rows=1, width_per_latent=8)
    assert shape.shape(batch=2, frames=3, width=5) == (2, 96, 14, 1, 40)
    images = shape.model_copy(update={"are_images": True, "more_frames": 0, "rows": 0})
    assert images.shape(batch=2, frames=3, width=5) == (24, 96, 0, 40)


def test_a_plan_is_written_beside_the_graphs(tmp_path: Path) -> None:
    PLAN.write(tmp_path)
    assert BandPlan.read(tmp_path) == PLAN
    (tmp_path / "bands.json").write_text('{"encodes": false}')
    with pytest.raises(FileNotFoundError, match="export the checkpoint again"):
        BandPlan.read(tmp_path)
