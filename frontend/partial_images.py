"""From previews of a job's images to OpenAI's server-sent events with partial images."""

import asyncio
import base64
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing

from frontend.http.sse import ServerSentEvent
from frontend.jobs.events import JobEvent, PartPreview
from frontend.jobs.product import ImageProduct
from frontend.jobs.state import Job
from frontend.media.image_encoder import ImageEncoder
from frontend.media.preview import enlarged
from frontend.schemas.images_generations import ImagePartial


async def partial_image_events(
    job: Job, events: AsyncGenerator[JobEvent, None]
) -> AsyncGenerator[ServerSentEvent, None]:
    """The partial images of each image, up to the job's end. A job that runs in another process has none here.

    Args:
        events: of the job with previews, see `JobService.listen`; closed at the end.
    """
    arrived: asyncio.Queue[PartPreview | None] = asyncio.Queue()
    reading = asyncio.create_task(_read(events, arrived))  # while one is encoded, none of the next is missed
    told, last_step = Counter[int](), Counter[int]()
    try:
        while (event := await arrived.get()) is not None:
            part, step = event.part, event.preview.steps_done
            if step <= last_step[part]:
                continue  # the job has begun anew
            image = await asyncio.to_thread(_partial, job, event, told[part])
            last_step[part] = step
            told[part] += 1
            yield ServerSentEvent(image.type, image.model_dump_json(exclude_none=True))
        await reading
    finally:
        reading.cancel()
        await asyncio.wait((reading,))


async def _read(events: AsyncGenerator[JobEvent, None], arrived: "asyncio.Queue[PartPreview | None]") -> None:
    try:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, PartPreview):
                    arrived.put_nowait(event)
    finally:
        arrived.put_nowait(None)


def _partial(job: Job, event: PartPreview, index: int) -> ImagePartial:
    product, sampling = job.spec.product, job.spec.samples[event.part]
    assert isinstance(product, ImageProduct)
    pixels = enlarged(event.preview.pixels, sampling.width, sampling.height)
    file = ImageEncoder(product.format, product.quality).encode(pixels)
    return ImagePartial(
        b64_json=base64.b64encode(file).decode(),
        created_at=int(time.time()),
        size=f"{sampling.width}x{sampling.height}",
        output_format=product.format,
        partial_image_index=index,
        index=event.part if len(job.spec.samples) > 1 else None,
    )
