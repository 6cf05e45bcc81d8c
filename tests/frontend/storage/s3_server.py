"""Real S3 servers: rclone's, which checks signatures, and moto's, which has AWS's semantics."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

import httpx

from frontend.storage.location import Bucket
from frontend.storage.s3_bucket import S3Bucket
from tests.ports import free_port

Kind = Literal["rclone", "moto"]
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests"}
BUCKET = "videos"
_ACCEPTED = "AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x"
"""what moto takes for a signature"""


class S3Server:
    """A server with one bucket, on a port that it keeps when it is killed and started again."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bucket(self, name: str = BUCKET, prefix: str = "some/prefix", **keys: str) -> S3Bucket:
        return S3Bucket(Bucket(name, prefix, endpoint=self.endpoint), KEYS | keys)

    def start(self) -> None:
        (self.folder / BUCKET).mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            assert self._process.poll() is None, "the S3 server ended"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the S3 server did not start"
                time.sleep(0.05)
        if self.kind == "moto":
            answer = httpx.put(
                f"{self.endpoint}/{BUCKET}", headers={"Authorization": _ACCEPTED}, trust_env=False, timeout=30
            )
            assert answer.status_code == 200

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def __enter__(self) -> "S3Server":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _command(self) -> Sequence[str | Path]:
        if self.kind == "moto":
            return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        rclone = Path(sys.executable).with_name("rclone")
        found = rclone if rclone.exists() else shutil.which("rclone")
        assert found, "rclone is not installed"
        return [
            *(found, "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--config", os.devnull),
            *("--auth-key", f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}"),
            *("--vfs-cache-mode", "writes", "--cache-dir", self.folder.with_name("cache")),
            *("--force-path-style", self.folder),
        ]
