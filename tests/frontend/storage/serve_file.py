"""The server of the tests with one file more: `python -m tests.frontend.storage.serve_file FOLDER MIB STORAGE`.

Says at which address, then serves until it is killed.
"""

import asyncio
import os
import sys
import threading
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response

from frontend.app import create_app
from frontend.http.ranges import file_response
from frontend.http.server import Server
from frontend.settings import Settings
from frontend.storage.storage import FileName
from tests.frontend.fake_generator import FakeGenerator

FILE = FileName("video_1")


def main(folder: Path, mib: int, storage_url: str) -> None:
    triton_metrics_url = "http://127.0.0.1:9/metrics"
    settings = Settings(port=0, storage=storage_url, spool=folder / "spool", triton_metrics_url=triton_metrics_url)
    app = create_app(settings, FakeGenerator())
    storage = app.state.services.storage
    source = folder / "source"
    with source.open("wb") as out:
        for _ in range(mib):
            out.write(os.urandom(1024 * 1024))
    asyncio.run(storage.put(FILE, source, "video/mp4"))

    async def get_file(request: Request) -> Response:
        return await file_response(request, await storage.head(FILE), storage, {})

    app.add_api_route("/file", get_file)
    server = Server(app, settings)

    def announce() -> None:
        while not server.started:
            threading.Event().wait(0.05)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)

    threading.Thread(target=announce, daemon=True).start()
    server.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
