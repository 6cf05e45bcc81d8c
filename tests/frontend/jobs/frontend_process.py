"""`python -m frontend` for tests that end it, and what is kept of its jobs."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
from sqlalchemy import make_url

from frontend.jobs.listing import JobQuery
from frontend.jobs.state import Job
from frontend.jobs.table import JobTable
from frontend.storage.local_folder import LocalFolder
from tests.ports import free_port
from tests.waiting import SECONDS, wait_until


class Frontend:
    """`python -m frontend`, started as often as wanted."""

    def __init__(self, folder: Path, triton_url: str, jobs: str, **environment: str) -> None:
        self._folder = folder
        self._port = 0
        self._environment = os.environ | {
            "TRITONREEL_TRITON_URL": triton_url,
            "TRITONREEL_JOBS": jobs,
            "TRITONREEL_STORAGE": str(folder / "files"),
            "TRITONREEL_KEYS_FILE": str(folder / "keys.json"),
            "TRITONREEL_SHUTDOWN_TIMEOUT_SECONDS": "1",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        with (self._folder / f"frontend-{self._port}.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "frontend"],
                env=self._environment | {"TRITONREEL_PORT": str(self._port)},
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def ask(self, request_id: str, prompt: str = "steady", path: str = "/v1/videos", **fields: object) -> None:
        """Ask for a video, and do not care for the answer."""

        def post() -> None:
            with contextlib.suppress(httpx.TransportError):  # it is killed
                answer = httpx.post(
                    f"{self.url}{path}",
                    json={"prompt": prompt, **fields},
                    headers={"X-Request-Id": request_id},
                    timeout=SECONDS,
                )
                print(request_id, answer.status_code, answer.text[:500])

        threading.Thread(target=post, daemon=True).start()

    def _end(self, signal_number: int) -> None:
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait(SECONDS)
            self._process = None
            print(self._log())

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the frontend has ended: " + self._log()
        try:
            return httpx.get(f"{self.url}/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def _log(self) -> str:
        return (self._folder / f"frontend-{self._port}.log").read_text()[-3000:]


class Place:
    """Where jobs are kept, as the test sees it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._files = folder / "files"
        parsed = make_url(url)
        self._table = JobTable(parsed if url.startswith("sqlite") else parsed.set(drivername="postgresql+psycopg"))

    def jobs(self) -> dict[str, Job]:
        """All of them, by the ids of their requests."""
        self._table.open()
        page = self._table.page(JobQuery(None, "video", limit=1000, order="asc"), time.time())
        assert page is not None
        return {job.spec.request_id: job for job in page.jobs}

    def count(self, status: str) -> int:
        return sum(job.state.status == status for job in self.jobs().values())

    def has_completed(self, count: int) -> bool:
        """All that they leave is a file each: checkpoints go after their jobs' ends."""
        return self.count("completed") == len(self.files()) == count

    def files(self) -> list[str]:
        """`JOB/PART-KIND` of each."""
        return sorted(
            "-".join(str(path.relative_to(self._files)).split("-")[:2])
            for path in self._files.rglob("*")
            if path.is_file()
        )

    def contents(self, kind: str) -> list[bytes]:
        """Of the files of a kind."""
        found = []
        for path in self._files.glob(f"[!.]*/*-{kind}*"):
            with contextlib.suppress(FileNotFoundError):  # it has just been replaced
                found.append(path.read_bytes())
        return found

    def assert_files(self) -> None:
        """Each completed job has its file, and there is no other, nor a part of one when it is old enough."""
        for partial in (self._files / ".partial").glob("*"):  # a killed process's; any other could still write them
            os.utime(partial, (0, 0))
        asyncio.run(LocalFolder(self._files).start())
        assert self.files() == sorted(f"{job.spec.id}/0-video" for job in self.jobs().values())

    def close(self) -> None:
        for name, job in self.jobs().items():
            print(name, job.spec.id, job.fence, job.state)
        self._table.close()
