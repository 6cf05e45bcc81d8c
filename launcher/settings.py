"""What one launch is asked to do, parsed once by the command line."""

from dataclasses import dataclass, field
from pathlib import Path

from launcher.residency import Choice

PROJECT_ROOT = Path(__file__).resolve().parent.parent
TOY_REPOSITORY = PROJECT_ROOT / "toy_model_repository"
"""what `make export` makes of the bundled checkpoints"""


@dataclass(frozen=True)
class Ports:
    """TCP ports of one instance; see `launcher.ports.resolve` for 0."""

    frontend: int = 8000
    """the OpenAI-style HTTP API"""
    grpc: int = 8001
    """Triton: inference"""
    metrics: int = 8002
    """Triton: Prometheus metrics"""


@dataclass(frozen=True)
class Settings:
    """One instance: where its models, ports and files are."""

    run_dir: Path
    """logs, state file and assembled back ends of this instance; no two instances share one"""
    model_repository: Path = PROJECT_ROOT / "model_repository"
    backends: Path = PROJECT_ROOT / "backends"
    """folders with the project's Python-based Triton back ends"""
    models: tuple[str, ...] = ()
    """ids of the checkpoints to serve; empty for all that were exported"""
    export: tuple[Path, ...] = ()
    """checkpoints to export into the repository where it does not hold them, while the server runs"""
    lora_dir: Path = PROJECT_ROOT / "loras"
    """the only folder that adapters are read from; it need not exist"""
    engine: str = ""
    """what every model runs with; empty for what its own configuration says"""
    device: str = ""
    """where every model runs, and sampling; empty likewise"""
    host: str = "127.0.0.1"
    """address that the frontend binds"""
    triton_host: str = "127.0.0.1"
    """address that Triton binds, which asks for no key"""
    tritonserver: Path | None = None
    """folder of an installed tritonserver; that of the nvidia-pytriton wheel if None"""
    allowed_hosts: tuple[str, ...] = ()
    """more names and addresses that the frontend may be called by"""
    allowed_origins: tuple[str, ...] = ()
    """origins whose pages may use the frontend"""
    keys_file: Path | None = None
    """hashes of the API keys; the user's own if None"""
    no_auth: bool = False
    """ask for no API key, whoever can reach the frontend"""
    jobs: str | None = field(default=None, repr=False)
    """where jobs are kept, which may hold a password; in this instance's run folder if None"""
    ports: Ports = Ports()
    storage: str = ""
    """where finished videos are kept: a folder, or an S3 URL; a folder in `run_dir` if empty"""
    log_level: str = "info"
    with_frontend: bool = True
    other_tritons: tuple[str, ...] = ()
    """host:port of the gRPC of servers that something else runs, to which the frontend sends jobs too"""
    shm_region_mib: int = 16
    """first size, and growth step, of a model process's shared memory in MiB; Triton allocates it at once"""
    residency: Choice = Choice.AUTO
    """whether every model stays loaded"""
    weights_bytes: int | None = None
    """what the weights of loaded models may take; None for what the machine has for them"""
    restart_limit: int = 5
    """deaths of one thing, each within `restart_window` of the last, that are forgiven"""
    restart_window: float = 300.0
    """seconds"""

    @property
    def logs(self) -> Path:
        return self.run_dir / "logs"

    @property
    def storage_location(self) -> str:
        """Where finished videos are kept, wherever who reads it was started."""
        if "://" in self.storage:
            return self.storage
        return str((Path(self.storage) if self.storage else self.run_dir / "storage").resolve())

    @property
    def spool(self) -> Path:
        """Files wait there for their upload to S3."""
        return self.run_dir / "spool"

    @property
    def jobs_url(self) -> str:
        """Where the frontend keeps jobs."""
        return self.jobs or f"sqlite:///{self.run_dir.resolve() / 'jobs.sqlite'}"

    @property
    def status_file(self) -> Path:
        """Written for the frontend: what is away and what is to come, and why."""
        return self.run_dir / "status.json"

    @property
    def served_file(self) -> Path:
        """Written for `generate`: see `protocol.served`."""
        return self.run_dir.resolve() / "served.json"
