"""The processes that decode images: what they may do, and what becomes of a request when one is gone."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from frontend.app import create_app
from frontend.errors import InvalidImage
from frontend.media.image_decoder import ImageDecoder
from frontend.media.image_process import ImageProcess, ImageProcessDied
from frontend.media.reference_image import ReferenceImage
from tests.frontend.conftest import Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.media.image_files import IEND, NOISE, file_of, png_chunk, png_header, png_of
from tests.frontend.test_videos import I2V, image_file
from tests.model_cards import image_to_video_card
from tests.waiting import until

pytestmark = pytest.mark.slow

SIDE = 5000
MANY_SECONDS = 20.0


def image_of(file: bytes) -> ReferenceImage:
    return ReferenceImage.open(file, 64_000_000)


SMALL = image_of(file_of(Image.fromarray(NOISE)))


@pytest.fixture(scope="module")
def large() -> ReferenceImage:
    """A small file of 75 MB, which takes some time."""
    pixels = zlib.compress(b"\0" * SIDE * (1 + 3 * SIDE), 1)
    return image_of(png_of(png_header(SIDE, SIDE), png_chunk(b"IDAT", pixels), IEND))


@pytest.fixture
async def decoder() -> AsyncIterator[ImageDecoder]:
    decoder = ImageDecoder()
    yield decoder
    await decoder.close()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def decodes(decoder: ImageDecoder) -> bool:
    return np.array_equal(await decoder.fit(SMALL, SMALL.width, SMALL.height), NOISE)


async def in_the_midst_of(decoder: ImageDecoder, image: ReferenceImage) -> tuple[asyncio.Task[object], int]:
    """A task that decodes, and the process that does it and has begun to."""
    task: asyncio.Task[object] = asyncio.create_task(decoder.fit(image, 64, 64))
    await until(lambda: bool(decoder.pids))
    (pid,) = decoder.pids
    await until(lambda: psutil.Process(pid).memory_info().rss > 40e6)
    return task, pid


# What is decoded


async def test_the_pixels_come_back(decoder: ImageDecoder) -> None:
    assert await decodes(decoder)
    assert (await decoder.fit(SMALL, 64, 48)).shape == (48, 64, 3)


async def test_a_process_is_kept_for_the_next_image(decoder: ImageDecoder) -> None:
    assert decoder.pids == []
    assert await decodes(decoder)
    pids = decoder.pids
    assert await decodes(decoder)
    assert decoder.pids == pids


async def test_at_most_two_decode_at_the_same_time(decoder: ImageDecoder) -> None:
    assert all(await asyncio.gather(*(decodes(decoder) for _ in range(8))))
    assert 1 <= len(decoder.pids) <= 2


async def test_large_images_are_decoded_one_by_one(decoder: ImageDecoder) -> None:
    pixels = zlib.compress(b"\0" * 10 * (1 + 1_700_000 * 3), 1)
    image = image_of(png_of(png_header(1_700_000, 10), png_chunk(b"IDAT", pixels), IEND))
    await asyncio.gather(*(decoder.fit(image, 16, 16) for _ in range(2)))
    assert len(decoder.pids) == 1


async def test_what_is_damaged_is_refused_and_harms_nobody(decoder: ImageDecoder) -> None:
    assert await decodes(decoder)
    pids = decoder.pids
    damaged = image_of(png_of(png_header(), png_chunk(b"IDAT", b"junk"), IEND))
    with pytest.raises(InvalidImage, match="truncated or broken") as error:
        await decoder.fit(damaged, 8, 8)
    assert error.value.field == "input_reference"
    assert await decodes(decoder)
    assert decoder.pids == pids


# What the process may do


async def test_the_environment_of_the_server_stays_with_it(
    decoder: ImageDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONREEL_SECRET", "a secret")
    assert await decodes(decoder)
    (pid,) = decoder.pids
    names = psutil.Process(pid).environ().keys()
    assert names <= {"PYTHONPATH", "MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX", "LD_LIBRARY_PATH", "LC_CTYPE"}


async def test_it_writes_no_files_and_leaves_no_core(decoder: ImageDecoder) -> None:
    assert await decodes(decoder)
    (pid,) = decoder.pids
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        assert resource.prlimit(pid, limit) == (0, 0)


async def test_its_memory_is_limited_by_the_size_of_the_image(decoder: ImageDecoder, large: ReferenceImage) -> None:
    task, pid = await in_the_midst_of(decoder, large)
    soft, _ = resource.prlimit(pid, resource.RLIMIT_AS)
    assert soft < 30 * SIDE * SIDE + 256e6
    await task
    await decodes(decoder)
    # It gives back what it took.
    assert psutil.Process(pid).memory_info().rss < 100e6


async def test_the_server_needs_no_memory_for_what_is_decoded(decoder: ImageDecoder, large: ReferenceImage) -> None:
    assert await decodes(decoder)
    own = psutil.Process()
    before, most = own.memory_info().rss, 0
    task = asyncio.create_task(decoder.fit(large, 64, 64))
    while not task.done():
        most = max(most, own.memory_info().rss)
        await asyncio.sleep(0.005)
    assert most - before < SIDE * SIDE


async def test_too_little_memory_is_an_error_of_the_image(decoder: ImageDecoder, large: ReferenceImage) -> None:
    assert await decodes(decoder)
    (pid,) = decoder.pids
    little = psutil.Process(pid).memory_info().vms + 3 * SIDE * SIDE
    resource.prlimit(pid, resource.RLIMIT_AS, (little, little))
    with pytest.raises(InvalidImage, match="needs too much memory"):
        await decoder.fit(large, 64, 64)
    assert await decodes(decoder)
    assert decoder.pids == [pid]


# When it is gone


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_waiting_process_that_died_or_hangs_is_replaced(decoder: ImageDecoder, number: signal.Signals) -> None:
    assert await decodes(decoder)
    (pid,) = decoder.pids
    os.kill(pid, number)
    assert await decodes(decoder)
    assert pid not in decoder.pids
    await until(lambda: gone(pid))


async def test_a_process_that_dies_of_an_image_is_that_images_error(
    decoder: ImageDecoder, large: ReferenceImage
) -> None:
    task, pid = await in_the_midst_of(decoder, large)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(InvalidImage, match="could not be decoded"):
        await task
    assert await decodes(decoder)


async def test_a_process_that_hangs_is_given_up(large: ReferenceImage) -> None:
    decoder = ImageDecoder(timeout_seconds=2)
    try:
        assert await decodes(decoder)
        task, pid = await in_the_midst_of(decoder, large)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(InvalidImage, match="could not be decoded within 2 s"):
            await asyncio.wait_for(task, MANY_SECONDS)
        await until(lambda: gone(pid))
        assert await decodes(decoder)
    finally:
        await decoder.close()


def test_a_process_that_hangs_while_it_is_sent_a_file_can_be_ended() -> None:
    process = ImageProcess()
    file = bytes(8_000_000)  # more than a pipe holds
    process.prepare(len(file), 8, 8, MANY_SECONDS)
    os.kill(process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(process.fit, file, 8, 8)
        process.kill()
        assert isinstance(answer.exception(MANY_SECONDS), ImageProcessDied)
    process.cleanup()
    assert gone(process.pid)


async def test_who_leaves_takes_the_process_along(decoder: ImageDecoder, large: ReferenceImage) -> None:
    task, pid = await in_the_midst_of(decoder, large)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: gone(pid))
    assert await decodes(decoder)


async def test_who_leaves_while_waiting_takes_nothing(decoder: ImageDecoder, large: ReferenceImage) -> None:
    running = [asyncio.create_task(decoder.fit(large, 64, 64)) for _ in range(2)]
    waiting = [asyncio.create_task(decoder.fit(SMALL, 8, 8)) for _ in range(3)]
    await until(lambda: len(decoder.pids) == 2)
    for task in waiting:
        task.cancel()
    results = await asyncio.gather(*running, *waiting, return_exceptions=True)
    assert [type(result) for result in results] == [np.ndarray] * 2 + [asyncio.CancelledError] * 3


# The end


async def test_closing_ends_them_all(large: ReferenceImage) -> None:
    decoder = ImageDecoder()
    task, busy = await in_the_midst_of(decoder, large)
    assert await decodes(decoder)
    pids = decoder.pids
    assert len(pids) == 2
    await decoder.close()
    assert all(gone(pid) for pid in (*pids, busy))
    with pytest.raises(InvalidImage):
        await task


def test_they_end_with_the_application(serve: Serve) -> None:
    app = create_app(generator=FakeGenerator([image_to_video_card()]))
    with serve(app) as url:
        files = {"input_reference": ("photo.png", image_file(), "image/png")}
        assert httpx.post(f"{url}/v1/videos", data={"prompt": "x"}, files=files, timeout=60).json()["model"] == I2V
        (pid,) = app.state.services.images.pids
    assert gone(pid)


async def test_they_end_when_the_server_is_killed() -> None:
    """Even one that does not notice that its input has ended."""
    code = (
        "import asyncio, time; from frontend.media.image_decoder import ImageDecoder;"
        "from tests.frontend.media.test_image_decoder import SMALL, decodes;"
        "decoder = ImageDecoder(); assert asyncio.run(decodes(decoder)); print(decoder.pids[0], flush=True);"
        "time.sleep(600)"
    )
    root = Path(__file__).parents[3]
    server = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
    finally:
        server.kill()
        server.communicate()
    await until(lambda: gone(pid))
