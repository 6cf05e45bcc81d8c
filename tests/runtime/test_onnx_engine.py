"""ONNX engines on the exported toy models: one-shot and streaming."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.banded_vae import VideoState
from runtime.engine import Chunk
from runtime.onnx_engine import OnnxEngine, open_engine
from runtime.tensors import to_numpy, to_ort_value
from runtime.vae_engine import StreamingEngine

Array = NDArray[np.float32]
Decoder = StreamingEngine[VideoState]


def latents(frames: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((1, 16, frames, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def decoder(toy: Any) -> Decoder:
    engine = open_engine(toy.repository / "wan_vae" / "1")
    assert isinstance(engine, StreamingEngine)
    return engine


def run(engine: Decoder, z: Array, sequence: str, start: bool, end: bool) -> Array:
    frames = engine.run({"latents": z}, Chunk(sequence, start, end))["frames"]
    return to_numpy(to_ort_value(frames))


def decode(engine: Decoder, z: Array, sequence: str, chunk: int = 1) -> Array:
    bounds = [(0, 1), *((i, i + chunk) for i in range(1, z.shape[2], chunk))]
    last = bounds[-1][0]
    parts = [run(engine, z[:, :, a:b], sequence, start=a == 0, end=a == last) for a, b in bounds]
    return np.concatenate(parts, axis=2)


def test_a_model_of_one_graph_gives_every_output(toy: Any) -> None:
    engine = open_engine(toy.repository / "wan_text_encoder" / "1")
    assert isinstance(engine, OnnxEngine)
    ids = np.array([[5, 6, 1]], np.int64)
    outputs = engine.run({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    assert outputs["last_hidden_state"].shape() == [1, 3, 64]


def test_a_latent_frame_is_four_pixel_frames_after_the_first(decoder: Decoder) -> None:
    assert decode(decoder, latents(4), "video").shape == (1, 3, 13, 64, 64)


def test_the_length_of_a_chunk_does_not_matter(decoder: Decoder) -> None:
    z = latents(5)
    np.testing.assert_allclose(decode(decoder, z, "a", chunk=1), decode(decoder, z, "b", chunk=2), atol=1e-5)


def test_videos_decoded_in_turns_do_not_mix(decoder: Decoder) -> None:
    videos = {name: latents(3, seed) for seed, name in enumerate("ab")}
    alone = {name: decode(decoder, z, name) for name, z in videos.items()}

    turns: dict[str, list[Array]] = {"a": [], "b": []}
    for i in range(3):
        for name, z in videos.items():
            turns[name].append(run(decoder, z[:, :, i : i + 1], name, start=i == 0, end=i == 2))

    for name, parts in turns.items():
        np.testing.assert_array_equal(np.concatenate(parts, axis=2), alone[name])


def test_nothing_is_kept_of_a_video_that_ended(decoder: Decoder) -> None:
    decode(decoder, latents(3), "ended")
    run(decoder, latents(1), "abandoned", start=True, end=False)
    run(decoder, latents(0), "abandoned", start=False, end=True)
    assert len(decoder) == 0
    with pytest.raises(LookupError, match="was not started"):
        run(decoder, latents(1), "abandoned", start=False, end=False)


def test_a_video_whose_job_died_is_forgotten(decoder: Decoder) -> None:
    run(decoder, latents(1), "dead", start=True, end=False)
    decoder.forget_idle(seconds=60)
    assert len(decoder) == 1
    decoder.forget_idle(seconds=0)
    assert len(decoder) == 0


def test_graphs_of_an_earlier_release_are_refused(tmp_path: Path) -> None:
    (tmp_path / "first.onnx").touch()
    (tmp_path / "next.onnx").touch()
    refusal = "holds no graphs of this release: export the checkpoint again"
    with pytest.raises(FileNotFoundError, match=refusal):
        open_engine(tmp_path)
    (tmp_path / "bands.json").write_text('{"height": 3}')
    with pytest.raises(FileNotFoundError, match=refusal):
        open_engine(tmp_path)


def test_a_video_in_bands_equals_one_that_is_not_cut(toy: Any, decoder: Decoder) -> None:
    cutting = open_engine(toy.repository / "wan_vae" / "1", band_bytes=2**20)
    assert isinstance(cutting, StreamingEngine)
    z = np.random.default_rng(0).standard_normal((1, 16, 3, 24, 6)).astype(np.float32)
    np.testing.assert_allclose(decode(cutting, z, "cut"), decode(decoder, z, "whole"), rtol=0, atol=1e-5)


MEMORY = r"""
import ctypes, re, sys
from pathlib import Path
import numpy as np
from runtime.bands import BandPlan
from runtime.engine import Chunk
from runtime.vae_engine import open_vae_engine

folder, side, frames, band_bytes = Path(sys.argv[1]), *map(int, sys.argv[2:])
engine = open_vae_engine(folder, band_bytes=band_bytes)
M_MMAP_THRESHOLD = -3
ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**16)  # what is in use is measured, not what the heap keeps of the rest

def resident(field):
    return int(re.search(field + r":\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def decode(frames, side):
    for i in range(frames):
        z = np.full((1, 16, 1, side, side), 0.1, np.float32)
        engine.run({"latents": z}, Chunk("video", start=i == 0, end=i == frames - 1))

decode(1, 8)
start = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
decode(frames, side)
expected = BandPlan.read(folder).peak_bytes(side, side, frames, band_bytes)
print(resident("VmHWM") - start, expected, resident("VmRSS") / start)
"""


@pytest.mark.parametrize(("side", "frames", "mib"), [(96, 1, 1024), (96, 1, 128), (56, 3, 1024), (56, 3, 128)])
def test_memory_is_what_the_plan_says_and_is_given_back(toy: Any, side: int, frames: int, mib: int) -> None:
    """An image of 768x768 and a video of 448x448, whole and in bands."""
    folder = toy.repository / "wan_vae" / "1"
    command = [sys.executable, "-c", MEMORY, str(folder), str(side), str(frames), str(mib * 2**20)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    peak, expected, afterwards = map(float, done.stdout.split())
    assert 0.7 * expected < peak < 1.15 * expected
    assert afterwards < 1.2


PEAK = r"""
import asyncio, re, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import torch
from pipelines.in_process import InProcessRunner
from protocol.model_card import ModelCard
from pipelines.vae_decoder import decode

repository, frames = Path(sys.argv[1]), int(sys.argv[2])
card = ModelCard.read(repository / "generate" / "1" / "wan_t2v")

async def main():
    # one, as in a model's process under Triton: each further thread would have a heap of its own
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    z = torch.zeros(1, 16, (frames - 1) // 4 + 1, 16, 16)
    runner = InProcessRunner(repository)
    return sum([len(f) async for f in decode(z, card.latents, runner, "wan_vae")])

assert asyncio.run(main()) == frames
print(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""


def peak_kilobytes(repository: Path, frames: int) -> int:
    command = [sys.executable, "-c", PEAK, str(repository), str(frames)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)


def test_memory_does_not_grow_with_the_video(toy: Any) -> None:
    """161 frames of 128x128 take 32 MB as float32, and 41 take 8; kept, they would show."""
    assert peak_kilobytes(toy.repository, 161) < 1.05 * peak_kilobytes(toy.repository, 41)
