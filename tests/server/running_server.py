"""The whole product as a user starts it, with what tests do to it."""

import re

import httpx
import psutil

from launcher.background import BackgroundServer


class RunningServer(BackgroundServer):
    """tritonserver and the frontend under the launcher."""

    def post(self, headers: dict[str, str] | None = None, **body: object) -> httpx.Response:
        """POST /v1/videos/generations."""
        return httpx.post(f"{self.url}/v1/videos/generations", json=body, timeout=120, headers=headers)

    def post_image(self, **body: object) -> httpx.Response:
        """POST /v1/images/generations."""
        return httpx.post(f"{self.url}/v1/images/generations", json=body, timeout=120)

    def process(self, *words: str) -> psutil.Process:
        """The process whose command line has all of these words."""
        for process in self.processes():
            try:
                command = " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
            if command and all(word in command for word in words):
                return process
        raise AssertionError(f"no process with {words}")

    def stub(self, model: str) -> psutil.Process:
        """The process that runs a model's Python code."""
        return self.process("triton_python_backend_stub", f"{model}_0_0")

    def frontend_log(self) -> str:
        return (self.run_dir / "logs" / "frontend.log").read_text()

    def triton_errors(self) -> list[str]:
        """The errors in Triton's log."""
        lines = (self.run_dir / "logs" / "triton.log").read_text().splitlines()
        return [line for line in lines if re.match(r"E\d{4} ", line)]

    def lock_crashes(self) -> int:
        """How often tritonserver has ended by a fault of its own: a model's process was killed while it held a lock
        that both share (triton-inference-server/server, issue 8882)."""
        return (self.run_dir / "logs" / "triton.log").read_text().count("boost::interprocess::lock_exception\n")

    def tritonserver(self) -> psutil.Process:
        return self.process("bin/tritonserver")
