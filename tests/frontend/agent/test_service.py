"""`HttpVideoService` against a real server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from frontend.agent.arguments import ExtendArguments, GenerateArguments
from frontend.agent.service import HttpVideoService, VideoServiceError
from frontend.app import create_app
from frontend.providers.registry import Registry
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.waiting import until

KEY = "tr-a-secret-of-tests"
FOX = GenerateArguments(prompt="a fox")


@pytest.fixture
async def service(url: str) -> AsyncIterator[HttpVideoService]:
    async with HttpVideoService(f"{url}/") as service:
        yield service


async def test_a_video_and_its_longer_version(service: HttpVideoService, generator: FakeGenerator) -> None:
    made = await service.generate(GenerateArguments(prompt="a fox", model="local", duration_seconds=2, seed=3))

    assert (made.provider, made.model, made.mode, made.cost) == ("local", "toy-wan-t2v", "text_to_video", 0)
    assert (made.settings["seed"], made.duration) == (3, 17 / 8)
    async with httpx.AsyncClient() as anyone:
        assert (await anyone.get(made.video_url)).content[4:8] == b"ftyp"

    longer = await service.extend(ExtendArguments(prompt="it jumps", video_id=made.video_id, duration_seconds=1))

    assert (longer.mode, longer.source_video_id) == ("video_extension", made.video_id)
    assert longer.duration == 17 / 8 + 1
    assert [spec.prompt for spec in generator.jobs.values()] == ["a fox", "it jumps"]


async def test_what_the_server_says_of_an_error(service: HttpVideoService) -> None:
    with pytest.raises(VideoServiceError, match="KLINGAI_ACCESS_KEY") as no_provider:
        await service.generate(GenerateArguments(prompt="a fox", model="kling"))
    assert no_provider.value.code == "provider_not_configured"
    with pytest.raises(VideoServiceError, match="WIDTH:HEIGHT") as wrong:
        await service.generate(GenerateArguments(prompt="a fox", aspect_ratio="wide"))
    assert wrong.value.field == "settings.video.aspect_ratio"
    with pytest.raises(VideoServiceError) as unknown:
        await service.extend(ExtendArguments(prompt="a fox", video_id="video_unknown"))
    assert (unknown.value.code, str(unknown.value)) == ("video_not_found", unknown.value.message)


async def test_a_server_that_asks_for_a_key(
    tmp_path: Path, generator: FakeGenerator, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(triton_metrics_url=NOWHERE, keys_file=tmp_path / "none.json", api_key=SecretStr(KEY))
    with serve(create_app(settings, generator, Registry({}))) as url:
        async with HttpVideoService(url, SecretStr(KEY)) as given:
            assert (await given.generate(FOX)).provider == "local"
        async with HttpVideoService(url, SecretStr("another")) as wrong:
            with pytest.raises(VideoServiceError, match=r"\(set TRITONREEL_API_KEY\)") as refused:
                await wrong.generate(FOX)
        assert refused.value.code == "invalid_api_key"
        assert "another" not in refused.value.message
        monkeypatch.setenv("TRITONREEL_API_KEY", KEY)
        async with HttpVideoService(url) as read:
            assert (await read.generate(FOX)).provider == "local"
            assert KEY not in repr(read) + repr(vars(read)) + repr(vars(read._client))


@pytest.mark.parametrize("key", ["zwei Wörter", "two words", "line\nbreak"])
def test_a_key_that_cannot_be_one_is_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="TRITONREEL_API_KEY must be one word") as refused:
        HttpVideoService("http://127.0.0.1:8000", SecretStr(key))
    assert key not in str(refused.value)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://user:pass@host", "http://[::"])
def test_a_url_that_cannot_be_a_servers(url: str) -> None:
    with pytest.raises(ValueError, match="the server's URL must be like http:"):
        HttpVideoService(url)


async def test_what_takes_too_long_or_is_cancelled_is_stopped(url: str, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    async with HttpVideoService(url, timeout_seconds=1) as hasty:
        with pytest.raises(VideoServiceError, match=r"was not done within 1 s, and is stopped") as late:
            await hasty.generate(FOX)
        assert late.value.code == "deadline_exceeded"
        await until(lambda: len(generator.cancelled) == 1)
    async with HttpVideoService(url) as patient:
        call = asyncio.create_task(patient.generate(FOX))
        await until(lambda: len(generator.jobs) == 2)
        call.cancel()
        await until(lambda: len(generator.cancelled) == 2)


async def test_no_server_and_servers_of_something_else() -> None:
    answers = {
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello": ("answered 200, but not as a", "invalid_answer"),
        b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\n{}": ("answered 502, but not as a", "invalid_answer"),
        b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.2/\r\n\r\n": ("answered 307, but", "invalid_answer"),
        b"": (r"was lost \(RemoteProtocolError\) before", "connection_lost"),
    }
    waiting = iter(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(waiting))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        for sentence, code in answers.values():
            async with HttpVideoService(url) as service:
                with pytest.raises(VideoServiceError, match=sentence) as error:
                    await service.generate(FOX)
                assert error.value.code == code
    async with HttpVideoService(url) as service:
        with pytest.raises(VideoServiceError, match=f"no server answers at {url}") as gone:
            await service.generate(FOX)
    assert gone.value.code == "unreachable"
