"""Google's Veo: on the Gemini API (https://ai.google.dev/gemini-api/docs/video) and on Vertex AI.

Google ended Veo on its own Gemini API on 22 October 2026; it goes on on Vertex AI.
"""

import re
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

import httpx
from pydantic import SecretStr, ValidationError

from frontend.providers.errors import (
    ContentRefused,
    InvalidAnswer,
    ProviderNotConfigured,
    RequestRefused,
)
from frontend.providers.google_errors import error_of_answer, error_of_credentials, error_of_job
from frontend.providers.hosted_model import LANDSCAPE, PORTRAIT, HostedModel, Operation, Option, Price
from frontend.providers.provider import Pending, Prediction, Ready
from frontend.providers.request import FittedRequest
from frontend.providers.transport import Transport, error_of_loss, one_line, uncertain_if

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.genai import types

NAME = "gemini"
BASE_URL = "https://generativelanguage.googleapis.com"
LOCATION = "us-central1"
_OPERATIONS: tuple[Operation, ...] = ("text-to-video", "image-to-video", "video-extension")


def _veo(model: str, release: str, price: Price, aliases: tuple[str, ...], options: tuple[Option, ...]) -> HostedModel:
    return HostedModel(
        id=model,
        provider=NAME,
        paths=dict.fromkeys(_OPERATIONS, f"{model}-generate-{release}"),
        durations=(4, 6, 8),
        resolutions=("720p", "1080p"),
        aspect_ratios=(LANDSCAPE, PORTRAIT),
        price=price,
        options=frozenset(options),
        aliases=(*aliases, f"{model}-generate-preview", f"{model}-generate-001"),
        default_duration=8,
        default_resolution="720p",
        durations_at={"1080p": (8,)},
        otherwise={"video-extension": {"durations": (7,), "resolutions": ("720p",)}},
        stops=False,
    )


def _models(release: str, *options: Option) -> tuple[HostedModel, HostedModel]:
    fast, best = Price.by_resolution(p720="0.10", p1080="0.12"), Price.by_resolution(p720="0.40", p1080="0.40")
    return (
        _veo("veo-3.1-fast", release, fast, (), options),
        _veo("veo-3.1", release, best, ("veo", "gemini"), options),
    )


VEO_3_1_FAST, VEO_3_1 = _models("preview", "negative_prompt", "enhance_prompt")
VERTEX_VEO_3_1_FAST, VERTEX_VEO_3_1 = _models("001", "negative_prompt", "enhance_prompt", "seed", "generate_audio")

_SECONDS = 60
"""without a byte, until a connection is given up"""
_FILE = re.compile(r"files/([a-z0-9]+)")
_BUCKET = "gs://"

T = TypeVar("T")


class Veo:
    """Keeps the `Provider` protocol.

    Args:
        key: of the Gemini API, or of Vertex AI in its express mode.
        base_url: of any server that speaks the chosen protocol; Google's own if None.
        vertex: whether the key is Vertex AI's.
        project: of Vertex AI, which takes credentials in place of a key.
        location: of Vertex AI, with a project.
        credentials: for the project; what the machine has as Application Default Credentials if None.

    Raises:
        ProviderNotConfigured: there is neither a key nor a project, or both.
    """

    name = NAME
    poll_seconds = 10.0

    def __init__(
        self,
        key: SecretStr | None = None,
        base_url: str | None = None,
        *,
        vertex: bool = False,
        project: str | None = None,
        location: str = LOCATION,
        credentials: "Credentials | None" = None,
    ) -> None:
        from google.genai import Client, types  # takes long, and only servers that use it need it

        if (key is None) == (project is None):
            raise ProviderNotConfigured("Veo needs either a key or a project of Vertex AI")
        self._on_vertex = vertex or project is not None
        self.models = (VERTEX_VEO_3_1_FAST, VERTEX_VEO_3_1) if self._on_vertex else (VEO_3_1_FAST, VEO_3_1)
        self._file_key = None if self._on_vertex else key
        self._base_url = (base_url or BASE_URL).rstrip("/")
        # With aiohttp, which it takes where that is installed, the SDK sends a job again when the connection is lost.
        self._http = httpx.AsyncClient()
        self._client = Client(
            vertexai=self._on_vertex,
            api_key=key.get_secret_value() if key else None,
            project=project,
            location=location if project else None,
            credentials=credentials,
            http_options=types.HttpOptions(
                base_url=base_url if self._on_vertex else self._base_url,
                timeout=1000 * _SECONDS,
                httpx_async_client=self._http,
            ),
        )
        self._files = Transport("Google", self._base_url, dict, lambda _: None)

    async def close(self) -> None:
        await self._http.aclose()
        await self._files.close()
        self._client.close()

    async def submit(self, request: FittedRequest) -> Prediction:
        """See `Provider.submit`."""
        asked = self._client.aio.models.generate_videos(
            model=request.path, source=self._source(request), config=_config(request)
        )
        operation = await self._ask(asked, submits=True)
        if not operation.name:
            raise uncertain_if(True, "Google answered without an operation")
        return Prediction(operation.name, time.time())

    async def poll(self, prediction: Prediction) -> Pending | Ready:
        """See `Provider.poll`."""
        from google.genai import types

        known = types.GenerateVideosOperation()
        known.name = prediction.id
        operation = await self._ask(self._client.aio.operations.get(known))
        if operation.error:
            raise error_of_job(operation.error)
        if not operation.done:
            return Pending("running")
        return self._ready(operation.response or types.GenerateVideosResponse())

    async def fetch(self, ready: Ready, max_bytes: int) -> bytes:
        """See `Provider.fetch`."""
        return await self._files.fetch(ready, max_bytes)

    async def cancel(self, prediction: Prediction) -> None:
        """Do nothing: Google has no way to stop the making of a video."""

    def _source(self, request: FittedRequest) -> "types.GenerateVideosSource":
        from google.genai import types

        source = types.GenerateVideosSource(prompt=request.prompt)
        if request.image is not None:
            source.image = types.Image(image_bytes=request.image.content, mime_type=request.image.media_type)
        if request.source is not None:
            if self._on_vertex and not request.source.startswith(_BUCKET):
                raise RequestRefused(f"Vertex AI extends videos in Cloud Storage: {_BUCKET}BUCKET/NAME", "video")
            if not self._on_vertex and not _FILE.search(request.source):
                raise RequestRefused("the Gemini API extends videos that Veo has made: files/ID", "video")
            source.video = types.Video(uri=request.source, mime_type="video/mp4")
        return source

    def _ready(self, response: "types.GenerateVideosResponse") -> Ready:
        """The video of a job that is done."""
        video = response.generated_videos[0].video if response.generated_videos else None
        if video is None:
            if response.rai_media_filtered_count:
                reasons = "; ".join(response.rai_media_filtered_reasons or ["no reason is given"])
                raise ContentRefused(f"Google: the video was filtered out: {one_line(reasons)}")
            raise InvalidAnswer("Google completed the job without a video")
        if video.video_bytes is not None:
            return Ready(content=video.video_bytes)
        uri = video.uri or ""
        if uri.startswith(_BUCKET):
            raise InvalidAnswer("Google put the video into Cloud Storage, where this server does not read")
        if self._file_key is None or not (file := _FILE.search(uri)):
            raise InvalidAnswer("Google names a video that is none of its files")
        # as the SDK has it: of the URI, whatever its host, no more than the file's id
        url = f"{self._base_url}/v1beta/files/{file[1]}:download?alt=media"
        return Ready(url, {"x-goog-api-key": self._file_key.get_secret_value()}, source=uri, metadata={"video": uri})

    async def _ask(self, asked: Awaitable[T], submits: bool = False) -> T:
        from google.auth.exceptions import GoogleAuthError
        from google.genai.errors import APIError

        try:
            return await asked
        except httpx.HTTPError as lost:
            raise error_of_loss("Google", lost, submits) from None
        except APIError as error:
            raise error_of_answer(error, submits) from None
        except GoogleAuthError as error:
            raise error_of_credentials(error) from None
        except ValidationError:
            what = "Google answered with something that its API does not have"
            raise (uncertain_if(submits, what) if submits else InvalidAnswer(what)) from None
        except ValueError:
            raise uncertain_if(submits, "Google answered with something that is not JSON") from None


def _config(request: FittedRequest) -> "types.GenerateVideosConfig":
    from google.genai import types

    return types.GenerateVideosConfig(
        number_of_videos=1,
        # an extension's is fixed
        duration_seconds=None if request.operation == "video-extension" else request.duration,
        aspect_ratio=request.aspect_ratio,
        resolution=request.resolution,
        negative_prompt=request.negative_prompt,
        enhance_prompt=request.enhance_prompt,
        seed=request.seed,
        generate_audio=request.generate_audio,
    )
