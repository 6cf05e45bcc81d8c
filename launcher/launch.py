"""One launch from the checks to the end: start, supervise, stop."""

import logging
import time

from launcher.errors import KeepsDyingError
from launcher.frontend_process import FrontendProcess
from launcher.ports import check
from launcher.restart_policy import RestartPolicy
from launcher.run_folder import RunFolder
from launcher.settings import Settings
from launcher.stop_signal import StopRequested, StopSignal
from launcher.supervisor import Supervisor
from launcher.triton_server import TritonServer

logger = logging.getLogger(__name__)


def launch(settings: Settings, stop_signal: StopSignal) -> None:
    """Serve until `stop_signal`. Raises LauncherError; whatever happens, nothing is left running."""
    began = time.monotonic()
    with RunFolder(settings.run_dir) as run_folder:
        check(settings.ports, settings.host, settings.with_frontend)
        triton = TritonServer(settings, stop_signal)
        run_folder.record(triton.shm_prefix)
        frontend = FrontendProcess(settings, stop_signal) if settings.with_frontend else None
        try:
            triton.start()
            if frontend:
                frontend.start()
            logger.info("ready in %.1f s\n\n%s\n", time.monotonic() - began, _what_next(settings, frontend))
            policy = RestartPolicy(settings.restart_limit, settings.restart_window)
            Supervisor(triton, frontend, policy, stop_signal).run()
        except StopRequested as request:
            logger.info("%s: stopping", request)
        except KeepsDyingError:
            logger.error("stopping everything else")
            raise
        finally:
            if frontend:
                frontend.stop()
            triton.stop()
    logger.info("stopped")


def _what_next(settings: Settings, frontend: FrontendProcess | None) -> str:
    ports = settings.ports
    lines = []
    if frontend:
        lines += [
            "Make a clip:",
            f"  curl -s {frontend.url}/v1/videos/generations -H 'Content-Type: application/json' \\",
            '    -d \'{"prompt": "a red circle moves right"}\' \\',
            "    | python3 -c 'import base64, json, sys;"
            ' open("clip.mp4", "wb").write(base64.b64decode(json.load(sys.stdin)["data"][0]["b64_json"]))\'',
            f"API docs:  {frontend.url}/docs",
        ]
    lines += [
        f"Triton:    127.0.0.1, gRPC {ports.grpc}, HTTP {ports.http}, metrics {ports.metrics}",
        f"Logs:      {settings.logs}",
        "Stop:      Ctrl-C, or `make stop`",
    ]
    return "\n".join(lines)
