"""A job of a Tritonreel server, as a node waits for it: progress, previews, and ComfyUI's cancel button."""

import base64
import binascii
import contextlib
import io
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

import comfy.model_management
import comfy.utils
from PIL import Image

from .server import Server, ServerError, printable

_LOOK_SECONDS = 0.2
"""how often the button is looked at"""
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""seconds before each new try to reach a server that was lost"""
_PREVIEW_SIDE = 512
_ENDS = ("completed", "failed", "cancelled")


def generate(server: Server, path: str, body: Mapping[str, Any]) -> list[bytes]:
    """The files of a new job.

    Args:
        path: of the route that makes it.

    Raises:
        ServerError: it cannot be made, with the server's reason.
        comfy.model_management.InterruptProcessingException: somebody has pressed the button; the server stops, too.
    """
    job_id = server.create(path, body)
    try:
        _wait(server, job_id)
    except BaseException:
        with contextlib.suppress(ServerError):  # what ended it says more
            server.delete(job_id)
        raise
    job = server.job(job_id)
    if job["status"] != "completed":
        error = job.get("error") or {}
        raise ServerError(printable(str(error.get("message") or f"the job is {job['status']}")))
    return [server.file(file["url"]) for file in job["files"]]


def _wait(server: Server, job_id: str) -> None:
    bar = comfy.utils.ProgressBar(100)
    told: queue.Queue[dict[str, Any] | Exception | None] = queue.Queue()
    threading.Thread(target=_listen, args=(server, job_id, told), daemon=True).start()
    percent = 0
    while True:
        comfy.model_management.throw_exception_if_processing_interrupted()
        try:
            event = told.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            continue
        if event is None:
            return
        if isinstance(event, Exception):
            raise event
        percent = max(percent, int(event.get("progress", 0)))
        bar.update_absolute(percent, 100, _preview(event))


def _listen(server: Server, job_id: str, told: "queue.Queue[dict[str, Any] | Exception | None]") -> None:
    """Tell each event, then None; or the error that ends the listening."""
    failures = 0
    while True:
        try:
            for event in server.events(job_id):
                failures = 0
                told.put(event)
                if str(event.get("type")).endswith(_ENDS):
                    told.put(None)
                    return
            if server.job(job_id)["status"] in _ENDS:
                told.put(None)
                return
            error = ServerError(f"the connection to {server.url} was lost")
        except ServerError as lost:
            error = lost
        except Exception as lost:  # whatever it is, who waits must hear of it
            error = ServerError(f"the connection to {server.url} was lost ({type(lost).__name__})")
        if failures == len(_PAUSES):
            told.put(error)
            return
        time.sleep(_PAUSES[failures])
        failures += 1


def _preview(event: Mapping[str, Any]) -> tuple[str, Image.Image, int] | None:
    """As ComfyUI shows it: format, image, and pixels of its longer side at most."""
    if not str(event.get("type")).endswith(".preview") or event.get("index"):
        return None
    with contextlib.suppress(OSError, ValueError, KeyError, binascii.Error):
        file = io.BytesIO(base64.b64decode(event["b64_json"]))
        with Image.open(file, formats=("WEBP", "PNG")) as image:
            return "JPEG", image.convert("RGB"), _PREVIEW_SIDE
    return None
