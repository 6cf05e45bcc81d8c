"""What a person who has just started the server may try."""

import logging
import time
from collections.abc import Sequence

from frontend.http.access import Access
from launcher.frontend_process import FrontendProcess
from launcher.settings import Settings
from launcher.triton_server import TritonServer
from protocol.model_card import ModelCard, Task

logger = logging.getLogger(__name__)

_INTO_FILE = (
    "    | python3 -c 'import base64, json, sys; a = json.loads(sys.stdin.read() or exit(1));"
    ' "data" in a or exit(a["error"]["message"]);'
    ' open("{file}", "wb").write(base64.b64decode(a["data"][0]["b64_json"]))\''
)
"""where there is no answer curl has said why, and where there is an error the server has"""
_WITH_KEY = ' -H "Authorization: Bearer $TRITONREEL_API_KEY"'
_TITLES: dict[Task, str] = {
    "text-to-video": "Make a video:",
    "image-to-video": "Make a video that starts from your image:",
    "text-to-image": "Make an image:",
}


class Announcement:
    """Says once, when the first request can be served, that it can and what to try.

    Args:
        began: when the launch did, on time.monotonic()'s clock.
    """

    def __init__(
        self,
        settings: Settings,
        triton: TritonServer,
        frontend: FrontendProcess | None,
        access: Access | None,
        began: float,
    ) -> None:
        self._settings = settings
        self._triton = triton
        self._frontend = frontend
        self._access = access
        self._began = began
        self._is_said = False
        self._waits = False

    def say_once(self) -> None:
        if self._is_said:
            return
        if self._settings.export and not self._triton.cards:
            if not self._waits:
                where = f" on {self._frontend.url}" if self._frontend else ""
                logger.info("the server is up%s; its first model is being exported", where)
            self._waits = True
            return
        if self._waits and self._frontend and not self._frontend.is_ready():
            return
        self._is_said = True
        url = self._frontend.url if self._frontend else None
        lines = what_next(self._settings, url, self._triton.cards, self._access)
        logger.info("ready in %.1f s\n\n%s\n", time.monotonic() - self._began, lines)


def what_next(settings: Settings, url: str | None, cards: Sequence[ModelCard], access: Access | None = None) -> str:
    """Lines for the console.

    Args:
        url: of the HTTP API, if it runs.
        cards: of the served checkpoints.
        access: to the HTTP API, if it runs.
    """
    ports = settings.ports
    key = _WITH_KEY if access and access.asks_for_keys else ""
    lines = []
    if url:
        tasks = {task for card in cards for task in card.tasks}
        for task, title in _TITLES.items():
            if task in tasks:
                lines += [title, *_example(task, url, key)]
        lines = [f"Open {url} in a browser{', and give it the key' if key else ''}, or:", *lines]
        lines.append(f"API docs:  {url}/docs{', with the key too' if key else ''}")
    lines += [
        f"Triton:    {settings.triton_host}, gRPC {ports.grpc} (frontend/examples/triton_stream.py), "
        f"metrics {ports.metrics}",
        f"Logs:      {settings.logs}",
        "Stop:      Ctrl-C, or `make stop`",
    ]
    return "\n".join(lines)


def _example(task: Task, url: str, key: str) -> list[str]:
    if task == "image-to-video":
        return [
            f"  curl -sS {url}/v1/videos{key} -F prompt='it moves right' -F input_reference=@image.png \\",
            _INTO_FILE.format(file="video.mp4"),
        ]
    route, prompt, file = {
        "text-to-video": ("videos", "a red circle moves right", "video.mp4"),
        "text-to-image": ("images", "a red circle", "image.png"),
    }[task]
    return [
        f"  curl -sS {url}/v1/{route}/generations{key} -H 'Content-Type: application/json' \\",
        f'    -d \'{{"prompt": "{prompt}"}}\' \\',
        _INTO_FILE.format(file=file),
    ]
