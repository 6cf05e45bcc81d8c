"""One launch from the checks to the end: start, supervise, stop."""

import logging
import time

from launcher.frontend_process import FrontendProcess
from launcher.hang_watch import HangWatch
from launcher.ports import check
from launcher.restart_policy import RestartPolicy
from launcher.run_folder import RunFolder
from launcher.settings import Settings
from launcher.status_file import StatusFile
from launcher.stop_signal import StopRequested, StopSignal
from launcher.supervisor import Supervisor
from launcher.triton_server import TritonServer
from launcher.what_next import what_next

logger = logging.getLogger(__name__)


def launch(settings: Settings, stop_signal: StopSignal) -> None:
    """Serve until `stop_signal`. Raises LauncherError; whatever happens, nothing is left running."""
    began = time.monotonic()
    with RunFolder(settings.run_dir) as run_folder:
        check(settings.ports, settings.host, settings.with_frontend)
        triton = TritonServer(settings, stop_signal)
        run_folder.record(triton.shm_prefix)
        frontend = FrontendProcess(settings, stop_signal) if settings.with_frontend else None
        status = StatusFile(settings.status_file)
        try:
            with HangWatch(triton, frontend, status):
                triton.start()
                if frontend:
                    frontend.start()
                    frontend.wait_until_ready()
                logger.info(
                    "ready in %.1f s\n\n%s\n",
                    time.monotonic() - began,
                    what_next(settings, frontend.url if frontend else None, triton.cards),
                )
                policy = RestartPolicy(settings.restart_limit, settings.restart_window)
                Supervisor(triton, frontend, policy, status, stop_signal).run()
        except StopRequested as request:
            logger.info("%s: stopping", request)
        finally:
            if frontend:
                frontend.stop()
            triton.stop()
            status.remove()
    logger.info("stopped")
