"""One launch from the checks to the end: start, supervise, stop."""

import logging
import time

from launcher.access import decide
from launcher.checks import check_environment, check_lora_folder
from launcher.frontend_process import FrontendProcess
from launcher.hang_watch import HangWatch
from launcher.ports import check
from launcher.reaper import Reaper
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
        check_environment(settings)
        check_lora_folder(settings.lora_dir)
        access = decide(settings) if settings.with_frontend else None
        triton = TritonServer(settings, stop_signal)
        run_folder.record(triton.shm_prefix, triton.socket.parent)
        reaper = Reaper(triton.shm_prefix, triton.socket.parent)
        frontend = FrontendProcess(settings, stop_signal) if settings.with_frontend else None
        status = StatusFile(settings.status_file)
        try:
            reaper.start()
            with HangWatch(triton, frontend, status):
                triton.start()
                if frontend:
                    frontend.start()
                    frontend.wait_until_ready()
                logger.info(
                    "ready in %.1f s\n\n%s\n",
                    time.monotonic() - began,
                    what_next(settings, frontend.url if frontend else None, triton.cards, access),
                )
                if access:
                    logger.log(logging.WARNING if access.exposed else logging.INFO, access.notice)
                policy = RestartPolicy(settings.restart_limit, settings.restart_window)
                chores = [reaper.ensure_running, triton.rotate_log, *([frontend.rotate_log] if frontend else [])]
                Supervisor(triton, frontend, policy, status, stop_signal, chores).run()
        except StopRequested as request:
            logger.info("%s: stopping", request)
        finally:
            if frontend:
                frontend.stop()
            triton.stop()
            status.remove()
            reaper.stop()
    logger.info("stopped")
