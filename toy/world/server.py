"""A running server, asked over HTTP."""

import base64
import io
import os
import time
from dataclasses import dataclass
from typing import Any, Self

import av
import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ValidationError

from toy.world.questions import TASKS, Task

_TIMEOUT = httpx.Timeout(10, read=600)

Fields = dict[str, Any]


class ServerError(Exception):
    """The server cannot be reached, or refused; the message says which and why."""


class Defaults(BaseModel):
    width: int
    height: int
    num_frames: int
    fps: float | None


class ServedModel(BaseModel):
    """What is used of an entry of `GET /v1/models`."""

    id: str
    tasks: tuple[str, ...]
    defaults: Defaults

    def toy_tasks(self) -> list[Task]:
        return [task for task in TASKS if task in self.tasks]


@dataclass(frozen=True)
class Answer:
    """frames: uint8 [frames, height, width, RGB], decoded; seconds: from the request to the end of the answer."""

    frames: NDArray[np.uint8]
    seconds: float


class Server:
    """A context manager; its methods may be called from several threads.

    Every method raises ServerError. The server's API key, if it asks for one, is in TRITONREEL_API_KEY.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        key = os.environ.get("TRITONREEL_API_KEY")
        self._client = httpx.Client(timeout=_TIMEOUT, headers={"Authorization": f"Bearer {key}"} if key else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def models(self) -> list[ServedModel]:
        listed, _ = self._send("GET", "/v1/models", None)
        try:
            return [ServedModel.model_validate(entry) for entry in listed["data"]]
        except (KeyError, TypeError, ValidationError) as error:
            raise ServerError(f"{self._url}/v1/models is not a list of models: {error}") from error

    def make(self, task: Task, fields: Fields, image: NDArray[np.uint8] | None = None) -> Answer:
        """A video or an image. `image`, uint8 [height, width, RGB], is what image-to-video starts from."""
        if task == "text-to-image":
            answer, seconds = self._send("POST", "/v1/images/generations", fields)
            return Answer(_decode_image(_payload(answer)), seconds)
        if task == "text-to-video":
            answer, seconds = self._send("POST", "/v1/videos/generations", fields)
        else:
            if image is None:
                raise ValueError("image-to-video needs an image")
            answer, seconds = self._send("POST", "/v1/videos", fields | {"input_reference": {"image_url": _uri(image)}})
        return Answer(_decode_video(_payload(answer)), seconds)

    def _send(self, method: str, path: str, fields: Fields | None) -> tuple[Any, float]:
        """The answer's JSON, and the seconds that it took."""
        started = time.monotonic()
        try:
            response = self._client.request(method, self._url + path, json=fields)
        except httpx.TransportError as error:
            raise ServerError(f"no answer from {self._url}: {error}. Is the server running?") from error
        seconds = time.monotonic() - started
        if not response.is_success:
            raise ServerError(f"{path} was refused with {response.status_code}: {response.text[:500]}")
        return response.json(), seconds


def _payload(answer: Any) -> bytes:
    return base64.b64decode(answer["data"][0]["b64_json"])


def _decode_image(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))[None]


def _decode_video(data: bytes) -> NDArray[np.uint8]:
    with av.open(io.BytesIO(data), "r") as video:
        frames = [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in video.decode(video=0)]
    return np.stack(frames)


def _uri(image: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
