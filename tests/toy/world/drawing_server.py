"""A server that understands captions perfectly and draws what they say, behind the routes that the evaluation uses."""

import base64
import io
import json
import re
import threading
from collections.abc import Mapping
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frontend.media.video_encoder import VideoEncoder
from toy.world.draw import Video, draw
from toy.world.phrases import HELD_OUT, SHAPE_WORDS, TRAINING, Phrasings
from toy.world.scene import COLOURS, Scene, place_scene

DEFAULTS = {"width": 64, "height": 64, "num_frames": 9, "fps": 8}
MODELS: dict[str, tuple[str, ...]] = {
    "t2v": ("text-to-video",),
    "i2v": ("image-to-video",),
    "ti2v": ("text-to-video", "image-to-video"),
    "t2i": ("text-to-image",),
}

Name = TypeVar("Name", bound=str)


def understand(prompt: str, seed: int, negative_prompt: str = "") -> Scene:
    """The scene that a caption is about; what it leaves open is any that the negative prompt does not name."""
    said = prompt.lower()
    rng = np.random.default_rng(seed)
    colours = [colour for colour in COLOURS if colour != negative_prompt]
    named = re.findall("|".join(COLOURS), said)
    return place_scene(
        rng,
        _longest(SHAPE_WORDS, said) or "circle",
        named[0] if named else colours[rng.integers(len(colours))],
        _longest({name: (*TRAINING.motions[name], *HELD_OUT.motions[name]) for name in TRAINING.motions}, said)
        or "still",
        _longest(
            {name: (*TRAINING.backgrounds[name], *HELD_OUT.backgrounds[name]) for name in HELD_OUT.backgrounds}, said
        )
        or "black",
    )


def _longest(phrasings: Mapping[Name, Phrasings], said: str) -> Name | None:
    """Whose phrase it is that was said; the longest, where one is a part of another."""
    found = [
        (len(phrase), name) for name, phrases in phrasings.items() for phrase in phrases if phrase and phrase in said
    ]
    return max(found)[1] if found else None


class DrawingServer:
    """A context manager. At guidance 1 all its shapes are rings.

    requests: all that it got, path and fields.
    scenes: by the seed of their request, for videos from an image; it does not look at images.
    """

    def __init__(self, scenes: Mapping[int, Scene]) -> None:
        self.scenes = scenes
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, fields: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path == "/v1/models":
            return 200, {"data": [{"id": name, "tasks": MODELS[name], "defaults": DEFAULTS} for name in MODELS]}
        self.requests.append((path, fields))
        if fields.get("num_frames", 9) > 161:
            return 400, {"error": {"message": "num_frames: at most 161"}}
        video = self._draw(fields)
        if path == "/v1/images/generations":
            return 200, {"data": [{"b64_json": _base64(_png(video[0]))}]}
        encoder = VideoEncoder(video.shape[2], video.shape[1], Fraction(8))
        encoder.add((video * 255).round().astype(np.uint8))
        return 200, {"data": [{"b64_json": _base64(encoder.finish())}]}

    def _draw(self, fields: dict[str, Any]) -> Video:
        width, height = map(int, fields.get("size", "64x64").split("x"))
        if "input_reference" in fields:
            scene = self.scenes[fields["seed"]]
        else:
            scene = understand(fields["prompt"], fields["seed"], fields.get("negative_prompt", ""))
        if 1.0 in (fields.get("guidance_scale"), fields.get("true_cfg_scale")):
            scene = Scene("ring", scene.colour, scene.motion, scene.background, scene.start, scene.end)
        video = draw(scene, width, height, fields.get("num_frames", 9))
        if "input_reference" in fields:
            image = base64.b64decode(fields["input_reference"]["image_url"].removeprefix("data:image/png;base64,"))
            video[0] = np.asarray(Image.open(io.BytesIO(image)), np.float32) / 255
        return video

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(*server.answer(self.path, {}))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._send(*server.answer(self.path, json.loads(body)))

            def _send(self, status: int, answer: dict[str, Any]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler


def _png(frame: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((frame * 255).round().astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
