"""`tritonreel bench`: how quickly a server answers, whatever it is made of."""

import asyncio
import math
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import httpx
import typer

from cli.ending import FAILED, INTERRUPTED, asking, say
from cli.finish import as_text
from cli.job import Kind
from cli.options import URL, JsonOption, UrlOption, with_fields
from cli.tables import print_table
from frontend.agent.connection import CONNECT_SECONDS, authorization, error_of
from frontend.schemas.videos_generations import VideoGenerationRequest
from protocol.printable import printable

_PATHS = {"video": "/v1/videos/generations", "image": "/v1/images/generations"}


@dataclass(frozen=True)
class Request:
    """One request, from when it was sent until its answer was there."""

    seconds: float
    frames: int
    """that were made"""
    error: str | None
    """its code"""


@dataclass(frozen=True)
class Result:
    """What a run came to. Seconds are of the requests that went well, NaN where none did."""

    requests: int
    concurrency: int
    seconds: float
    """of the whole run"""
    p50: float
    p95: float
    per_second: float
    """videos or images"""
    frames_per_second: float
    errors: dict[str, int]
    """by code"""


@with_fields(VideoGenerationRequest, without=frozenset({"n", "seed"}))
def bench(
    prompt: Annotated[str, typer.Argument(help="What to show.")] = "a red circle moves right",
    requests: Annotated[int, typer.Option("-r", "--requests", min=1, help="How many.")] = 16,
    concurrency: Annotated[int, typer.Option("-c", "--concurrency", min=1, help="How many at once.")] = 4,
    kind: Annotated[Kind, typer.Option(help="What to make.")] = "video",
    as_json: JsonOption = False,
    url: UrlOption = URL,
    **fields: object,
) -> None:
    """Measure a server over its HTTP API: each request makes one video or image, with a seed of its own.

    The first requests after a start are slower than later ones: run it twice. The status is 1 where a request fails.

    \b
    Examples:
      tritonreel bench
      tritonreel bench -r 32 -c 8 --model wan2.2-ti2v-5b --size 832x480 --frames 41
      tritonreel bench --kind image "a lighthouse" --json
    """
    body = {"prompt": prompt, "response_format": "url"} | {
        name: value for name, value in fields.items() if value is not None
    }
    with asking(url) as server:
        server.models()  # is there one?
        try:
            result = asyncio.run(_run(server.url + _PATHS[kind], body, requests, concurrency))
        except KeyboardInterrupt:
            say("Stopped, and what was running is stopped at the server too.")
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        typer.echo(as_text({name: _or_none(value) for name, value in asdict(result).items()}))
    else:
        _print(result, kind)
    if result.errors:
        raise typer.Exit(FAILED)


async def _run(url: str, body: dict[str, Any], requests: int, concurrency: int) -> Result:
    numbers = iter(range(requests))
    done: list[Request] = []

    async def ask_on(client: httpx.AsyncClient) -> None:
        for number in numbers:
            done.append(await _ask(client, url, body | {"seed": number}))

    # it answers when the video is done; leaving stops it
    timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
    limits = httpx.Limits(max_connections=None)
    began = time.perf_counter()
    async with (
        httpx.AsyncClient(headers=authorization(), timeout=timeout, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(min(concurrency, requests)):
            group.create_task(ask_on(client))
    return _result(done, concurrency, time.perf_counter() - began)


async def _ask(client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> Request:
    began = time.perf_counter()
    try:
        response = await client.post(url, json=body)
        seconds = time.perf_counter() - began
        if not response.is_success:
            return Request(seconds, 0, error_of(response).code)
        answer = response.json()
        return Request(seconds, int(answer.get("num_frames", 1)), None)
    except httpx.TransportError as error:
        return Request(time.perf_counter() - began, 0, type(error).__name__)
    except (ValueError, AttributeError):
        return Request(time.perf_counter() - began, 0, "invalid_answer")


def _result(done: list[Request], concurrency: int, seconds: float) -> Result:
    good = sorted(request.seconds for request in done if request.error is None)
    return Result(
        requests=len(done),
        concurrency=concurrency,
        seconds=seconds,
        p50=percentile(good, 50),
        p95=percentile(good, 95),
        per_second=len(good) / seconds,
        frames_per_second=sum(request.frames for request in done) / seconds,
        errors=dict(Counter(request.error for request in done if request.error is not None)),
    )


def percentile(ordered: list[float], per_cent: float) -> float:
    """By the nearest rank: a value that was measured. NaN of nothing."""
    return ordered[max(0, math.ceil(per_cent / 100 * len(ordered)) - 1)] if ordered else math.nan


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _print(result: Result, kind: Kind) -> None:
    head = ("REQUESTS", "AT ONCE", "P50", "P95", f"{kind.upper()}S/S", "FRAMES/S", "ERRORS")
    row = (
        str(result.requests),
        str(result.concurrency),
        f"{result.p50:.2f} s",
        f"{result.p95:.2f} s",
        f"{result.per_second:.2f}",
        f"{result.frames_per_second:.1f}",
        str(sum(result.errors.values())),
    )
    print_table(head, [row])
    for code, count in sorted(result.errors.items()):
        say(f"{count} x {printable(code)}")
