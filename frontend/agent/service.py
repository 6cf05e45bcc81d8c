"""A client of the video service of a Tritonreel server, for programs and agents to be given."""

import asyncio
from types import TracebackType
from typing import Protocol, Self

import httpx
from pydantic import SecretStr

from frontend.agent.arguments import ExtendArguments, GenerateArguments, VideoArguments
from frontend.agent.connection import CONNECT_SECONDS, authorization, error_of, not_ours, server_url
from frontend.schemas.video_service import VideoServiceData, VideoServiceResponse

DEFAULT_TIMEOUT_SECONDS = 3600.0
"""a long video of a local model without a GPU takes as long"""


class VideoServiceError(Exception):
    """There is no video.

    Args:
        message: a sentence that says what is wrong and what is allowed, the server's own where it has answered.
        field: of the request that it is about, as the server calls it, if it is about one.
        code: a stable name of the case: the server's, `unreachable`, `connection_lost`, `deadline_exceeded` or
            `invalid_answer`.
    """

    def __init__(self, message: str, field: str | None, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.code = code


class VideoGenerationService(Protocol):
    """Makes videos. Cancelling a call stops the video."""

    async def generate(self, arguments: GenerateArguments) -> VideoServiceData:
        """A new video: its URL, which works for an hour or so, and what was made. Raises VideoServiceError."""
        ...

    async def extend(self, arguments: ExtendArguments) -> VideoServiceData:
        """A longer version of an earlier video. Raises VideoServiceError."""
        ...


class HttpVideoService:
    """The service of the server at a URL, over HTTP. A context manager, which closes its connections.

    Args:
        url: of the server, without `/video/generate`.
        api_key: where the server asks for one; what the environment has as TRITONREEL_API_KEY if None.
        customer_id: whose the videos are, for the names of their files in S3.
        timeout_seconds: for one video; then it is stopped.

    Raises:
        ValueError: the URL, or the key, cannot be one.
    """

    def __init__(
        self,
        url: str,
        api_key: SecretStr | None = None,
        *,
        customer_id: int = 1,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self._url = server_url(url)
        self._customer_id = customer_id
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(
            headers=authorization(api_key),
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),  # it answers when the video is done
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.aclose()

    async def generate(self, arguments: GenerateArguments) -> VideoServiceData:
        return await self._post("/video/generate", arguments)

    async def extend(self, arguments: ExtendArguments) -> VideoServiceData:
        return await self._post("/video/extend", arguments)

    async def _post(self, path: str, arguments: VideoArguments) -> VideoServiceData:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._client.post(self._url + path, json=arguments.body(self._customer_id))
        except TimeoutError:
            raise VideoServiceError(
                f"the video was not done within {self._timeout_seconds:,g} s, and is stopped", None, "deadline_exceeded"
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise VideoServiceError(
                f"no server answers at {self._url}: start it, or name another one", None, "unreachable"
            ) from None
        except httpx.HTTPError as error:
            raise VideoServiceError(
                f"the connection to {self._url} was lost ({type(error).__name__}) before the video was done; "
                f"{self._url}/v1/videos lists it if the server still makes it",
                None,
                "connection_lost",
            ) from None
        return _data_of(response)


def _data_of(response: httpx.Response) -> VideoServiceData:
    try:
        if response.status_code == httpx.codes.OK:
            return VideoServiceResponse.model_validate_json(response.content).data
        error = error_of(response)
    except ValueError:
        raise VideoServiceError(not_ours(response), None, "invalid_answer") from None
    raise VideoServiceError(error.message, error.param, error.code)
