"""One launch from the checks to the end: start, supervise, stop."""

import logging
import time

from launcher.access import decide
from launcher.checkpoints import look
from launcher.checks import check_engine, check_environment, check_lora_folder
from launcher.export_process import ExportProcess, make_repository
from launcher.frontend_process import FrontendProcess
from launcher.hang_watch import HangWatch
from launcher.ports import check
from launcher.reaper import Reaper
from launcher.repository_watch import RepositoryWatch
from launcher.restart_policy import RestartPolicy
from launcher.run_folder import RunFolder
from launcher.settings import Settings
from launcher.status_file import StatusFile
from launcher.stop_signal import StopRequested, StopSignal
from launcher.supervisor import Supervisor
from launcher.triton_server import TritonServer
from launcher.what_next import Announcement

logger = logging.getLogger(__name__)


def launch(settings: Settings, stop_signal: StopSignal) -> None:
    """Serve until `stop_signal`. Raises LauncherError; whatever happens, nothing is left running."""
    began = time.monotonic()
    with RunFolder(settings.run_dir) as run_folder:
        check(settings.ports, settings.host, settings.triton_host, settings.with_frontend)
        check_environment(settings)
        check_engine(settings)
        check_lora_folder(settings.lora_dir)
        access = decide(settings) if settings.with_frontend else None
        triton = TritonServer(settings, stop_signal)
        run_folder.record(triton.shm_prefix, triton.socket.parent)
        reaper = Reaper(triton.shm_prefix, triton.socket.parent)
        frontend = FrontendProcess(settings, stop_signal) if settings.with_frontend else None
        status = StatusFile(settings.status_file)
        exports = None
        if settings.export:
            make_repository(settings.model_repository)
            log = settings.logs / "export.log"
            exports = ExportProcess(settings.export, settings.model_repository, log, status)
        try:
            reaper.start()
            with HangWatch(triton, frontend, status):
                if frontend:
                    frontend.begin()  # it starts while the models load
                serves_nothing = not look(settings.model_repository, settings.models).complete
                if exports and serves_nothing:
                    exports.start()
                triton.start()
                if exports and not serves_nothing:
                    exports.start()  # not before: what is there is served first
                if frontend:
                    frontend.wait_until_up()
                    if triton.cards or not exports:
                        frontend.wait_until_ready()
                if access:
                    logger.log(logging.WARNING if access.exposed else logging.INFO, access.notice)
                announcement = Announcement(settings, triton, frontend, access, began)
                announcement.say_once()
                policy = RestartPolicy(settings.restart_limit, settings.restart_window)
                watch = RepositoryWatch(settings, triton, status)
                chores = [reaper.ensure_running, triton.rotate_log, watch.look, announcement.say_once]
                chores += [frontend.rotate_log] if frontend else []
                Supervisor(triton, frontend, policy, status, stop_signal, chores).run()
        except StopRequested as request:
            logger.info("%s: stopping", request)
        finally:
            if exports:
                exports.stop()
            if frontend:
                frontend.stop()
            triton.stop()
            status.remove()
            reaper.stop()
    logger.info("stopped")
