from pathlib import Path

from launcher.frontend_process import FrontendProcess
from launcher.settings import Ports, Settings
from launcher.stop_signal import StopSignal


def told(settings: Settings, name: str) -> str:
    return FrontendProcess(settings, StopSignal())._environment()[name]


def test_the_frontend_is_told_of_all_tritons_the_launchers_own_first(tmp_path: Path) -> None:
    ports = Ports(grpc=9001)
    assert told(Settings(tmp_path, ports=ports), "TRITONREEL_TRITON_URL") == "127.0.0.1:9001"
    several = Settings(tmp_path, ports=ports, other_tritons=("gpu-2:8001", "gpu-3:8001"))
    assert told(several, "TRITONREEL_TRITON_URL") == "127.0.0.1:9001,gpu-2:8001,gpu-3:8001"
