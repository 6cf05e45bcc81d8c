"""One Python function for all hosted providers, and for a Tritonreel server: `ai_video_generate`."""

import asyncio
import base64
import binascii
import os
from contextlib import nullcontext
from typing import Any, TypedDict, get_args

from frontend.media.image_file import format_of, read_header
from frontend.media.image_header import ImageError
from frontend.media.video_facts import UnreadableVideo, VideoFacts
from frontend.providers import own_server
from frontend.providers.engine import Engine, HostedVideo
from frontend.providers.errors import InvalidAnswer
from frontend.providers.hosted_model import Operation
from frontend.providers.own_server import ServerRequest
from frontend.providers.progress import Progress, ProgressCallback
from frontend.providers.provider import Prediction
from frontend.providers.registry import Registry
from frontend.providers.request import FittedRequest, InputImage, VideoRequest, fit
from protocol.errors import InvalidRequest
from protocol.printable import quoted


class GeneratedVideo(TypedDict):
    """What `ai_video_generate` returns."""

    video_bytes: bytes
    """MP4"""
    prompt: str
    """as it was given"""
    duration: float
    """seconds that were asked of the provider"""
    model_name: str
    cost: float
    """US dollars, by the provider's list of prices"""
    provider: str
    resolution: str
    width: int
    """pixels, of the file"""
    height: int
    metadata: dict[str, Any]
    """what the provider tells besides; under `changes`, what was asked for and is done otherwise"""
    source_video_url: str
    """where the provider has it, for some days; empty where it has sent the bytes alone"""
    prediction_id: str


async def ai_video_generate(
    prompt: str = "",
    image_data: bytes | None = None,
    image_base64: str | None = None,
    operation_type: Operation = "text-to-video",
    provider: str | None = None,
    *,
    model: str | None = None,
    video: str | None = None,
    duration: float | None = None,
    resolution: str | None = None,
    aspect_ratio: str | None = None,
    negative_prompt: str | None = None,
    seed: int | None = None,
    generate_audio: bool | None = None,
    audio_base64: str | None = None,
    enable_prompt_expansion: bool | None = None,
    strict: bool = False,
    timeout_seconds: float = 600.0,
    poll_seconds: float | None = None,
    progress_callback: ProgressCallback | None = None,
    registry: Registry | None = None,
) -> GeneratedVideo:
    """Have a hosted provider make a video, which costs money, and fetch it; or a Tritonreel server.

    What is None is left to the model. Cancelling this stops the job at the provider, where that can be done.

    Args:
        image_data: a PNG, JPEG or WebP file that the video starts from; or
        image_base64: the same in base64, with or without `data:...;base64,` before it.
        provider: the first configured one that has the model if None; `local` for the server at `TRITONREEL_URL` and
            its own models.
        model: the provider's first if None.
        video: of video-to-video and video-extension: the earlier video, by its URL or its id at the provider.
        duration: seconds.
        resolution: 480p, 720p, 1080p, ...; what a model does not offer becomes the nearest that it does.
        seed: where the model takes one; -1 is none.
        audio_base64: no model takes it: it only makes a change that `metadata` tells.
        strict: refuse what would be done otherwise than asked for.
        timeout_seconds: until the last byte; the job is stopped then.
        poll_seconds: between two questions how the job is; the provider's own advice if None.
        progress_callback: called in the thread of the event loop, from 0 to 100 per cent.
        registry: the providers; those that the environment has keys for if None.

    Raises:
        InvalidRequest: names the argument that cannot be done.
        ProviderError: see the tree in `frontend.providers.errors`.
    """
    if operation_type not in get_args(Operation):
        raise InvalidRequest(
            f"must be one of {', '.join(get_args(Operation))}, got {quoted(str(operation_type))}", "operation_type"
        )
    image = _image(image_data, image_base64)
    if operation_type == "image-to-video" and image is None:
        raise InvalidRequest("image-to-video needs one", "image_data")
    request = VideoRequest(
        prompt=prompt,
        duration=duration,
        resolution=resolution,
        aspect_ratio=aspect_ratio,
        negative_prompt=negative_prompt,
        seed=None if seed == -1 else seed,
        generate_audio=generate_audio,
        enhance_prompt=enable_prompt_expansion,
        image=image if operation_type == "image-to-video" else None,
        source=video,
        audio=audio_base64 is not None,
    )
    progress = Progress(progress_callback)
    if provider == own_server.NAME:
        await progress.tell(0, "Starting")
        asked = own_server.request_for(request, operation_type, model, strict=strict)
        server = own_server.OwnServer(os.environ)
        try:
            there = await Engine(server, timeout_seconds, poll_seconds).run(asked, progress.tell, _keep_nothing)
        finally:
            await server.close()
        return await _result_of_server(prompt, there)
    async with Registry() if registry is None else nullcontext(registry) as providers:
        speaker, hosted = providers.find(model, provider)
        fitted = fit(request, hosted, operation_type, strict=strict)
        await progress.tell(0, "Starting")
        made = await Engine(speaker, timeout_seconds, poll_seconds).run(fitted, progress.tell, _keep_nothing)
        return await _result(prompt, made)


def ai_video_generate_sync(*arguments: Any, **named: Any) -> GeneratedVideo:
    """`ai_video_generate` for programs without an event loop. Raises RuntimeError where one runs in this thread."""
    return asyncio.run(ai_video_generate(*arguments, **named))


async def _keep_nothing(prediction: Prediction | None) -> None:
    """This process is the only one that knows of the job."""


def _image(data: bytes | None, text: str | None) -> InputImage | None:
    if data is not None and text is not None:
        raise InvalidRequest("must not be given together with image_data", "image_base64")
    field = "image_data" if text is None else "image_base64"
    if text is not None:
        head, comma, rest = text.partition(",")
        try:
            data = base64.b64decode(rest if comma and head.startswith("data:") else text, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequest("must be base64", field) from None
    if data is None:
        return None
    try:
        read_header(data)
    except ImageError as error:
        raise InvalidRequest(error.message, field) from None
    return InputImage(data, f"image/{format_of(data).lower()}")


async def _result(prompt: str, made: HostedVideo[FittedRequest]) -> GeneratedVideo:
    request, ready = made.request, made.ready
    facts = await _facts_of(made.content)
    return GeneratedVideo(
        video_bytes=made.content,
        prompt=prompt,
        duration=float(request.duration),
        model_name=request.model.id,
        cost=float(request.price),
        provider=request.model.provider,
        resolution=request.resolution,
        width=facts.width,
        height=facts.height,
        metadata={**ready.metadata, "changes": list(request.changes)},
        source_video_url=ready.url,
        prediction_id=made.prediction.id,
    )


async def _result_of_server(prompt: str, made: HostedVideo[ServerRequest]) -> GeneratedVideo:
    video, facts = made.ready.metadata, await _facts_of(made.content)
    return GeneratedVideo(
        video_bytes=made.content,
        prompt=prompt,
        duration=float(facts.num_frames / facts.fps),
        model_name=video["model"],
        cost=float(video["params"].get("price", 0)),  # of a hosted model, which that server may have too
        provider=own_server.NAME,
        resolution=f"{facts.width}x{facts.height}",
        width=facts.width,
        height=facts.height,
        metadata={"params": video["params"], "changes": [*video["warnings"], *made.request.changes]},
        source_video_url=made.ready.url,
        prediction_id=video["id"],
    )


async def _facts_of(file: bytes) -> VideoFacts:
    try:
        return await asyncio.to_thread(VideoFacts.of, file)
    except UnreadableVideo:
        raise InvalidAnswer("the provider sent an MP4 file without a video that can be read") from None
