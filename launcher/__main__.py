"""`python -m launcher`: serve, or stop what serves."""

import logging
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from frontend.storage.location import parse_location
from launcher import ports as port_choice
from launcher.access import hosts_of, origins_of, servers_of
from launcher.demo_providers import demo_providers
from launcher.drain import drain
from launcher.errors import LauncherError, in_words
from launcher.keys import KeysFileOption, keys
from launcher.launch import launch
from launcher.mcp_server import mcp
from launcher.private_files import UMASK
from launcher.residency import Choice, parse_size
from launcher.run_folder import stop_instance
from launcher.settings import PROJECT_ROOT, Ports, Settings
from launcher.stop_signal import StopSignal
from protocol.placement import DEVICE_VARIABLE, ENGINE_VARIABLE, parse_device, parse_engine

_RUNS = Path("run")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(keys, name="keys")
app.command()(demo_providers)
app.command()(mcp)
app.command()(drain)


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _checked(parse: Callable[[str], object]) -> Callable[[str], str]:
    """An option that may be empty, and is refused where `parse` raises ValueError."""

    def check(text: str) -> str:
        try:
            if text:
                parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        return text

    return check


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    model_repository: Annotated[
        Path,
        typer.Option(
            envvar="TRITONREEL_MODEL_REPOSITORY",
            readable=False,  # our own checks say more
            help="Folder with one subfolder per Triton model. Models that were not exported yet are left out.",
            show_default="the project's model_repository",
        ),
    ] = PROJECT_ROOT / "model_repository",
    export: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Folder of a checkpoint that is exported while the server runs, unless the repository has it already; "
            "give it several times for several. Each is served as soon as it is there.",
            show_default="none",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            envvar="TRITONREEL_MODELS",
            help="Id of an exported checkpoint to serve; give it several times for several. The first that can do what "
            "a request asks for serves those that name no model.",
            show_default="all",
        ),
    ] = None,
    lora_dir: Annotated[
        Path,
        typer.Option(
            envvar="TRITONREEL_LORA_DIR",
            readable=False,  # our own checks say more
            help="Folder with the LoRA adapters that requests may name.",
            show_default="the project's loras",
        ),
    ] = Settings.lora_dir,
    engine: Annotated[
        str,
        typer.Option(
            envvar=ENGINE_VARIABLE,
            callback=_checked(parse_engine),
            help="What every model runs with: onnxruntime, tensorrt, or auto: TensorRT where its engines fit this "
            "machine, else ONNX Runtime.",
            show_default="each model's own, auto",
        ),
    ] = "",
    device: Annotated[
        str,
        typer.Option(
            envvar=DEVICE_VARIABLE,
            callback=_checked(parse_device),
            help="Where every model runs: cpu, cuda:0, cuda:1, ..., or auto: the first GPU that can be used, else the "
            "CPU.",
            show_default="each model's own, auto",
        ),
    ] = "",
    host: Annotated[
        str,
        typer.Option(
            envvar="TRITONREEL_HOST",
            help="Address of the HTTP API; 0.0.0.0 opens it to the network, for who has an API key (see `keys`).",
        ),
    ] = "127.0.0.1",
    triton_host: Annotated[
        str,
        typer.Option(
            envvar="TRITONREEL_TRITON_HOST",
            help="Address of Triton's gRPC and metrics, which ask for no API key: another one only where nobody but a "
            "frontend can reach it, as between containers.",
        ),
    ] = Settings.triton_host,
    tritonserver: Annotated[
        Path | None,
        typer.Option(
            envvar="TRITONREEL_TRITONSERVER",
            readable=False,  # our own checks say more
            help="Folder of an installed tritonserver with its Python backend, such as /opt/tritonserver in NVIDIA's "
            "images.",
            show_default="that of the nvidia-pytriton wheel",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            envvar="TRITONREEL_ALLOWED_HOSTS",
            help="Name or address that the HTTP API may be called by, besides its own address and those of this "
            "machine's loopback; give it several times for several.",
            show_default="none",
        ),
    ] = None,
    allowed_origin: Annotated[
        list[str] | None,
        typer.Option(
            envvar="TRITONREEL_ALLOWED_ORIGINS",
            help="Origin, such as https://app.example.com, whose web pages may use the HTTP API; give it several times "
            "for several.",
            show_default="none",
        ),
    ] = None,
    keys_file: KeysFileOption = None,
    no_auth: Annotated[
        bool,
        typer.Option(
            "--no-auth",
            envvar="TRITONREEL_NO_AUTH",
            help="Ask nobody for an API key, even where others can reach the HTTP API.",
        ),
    ] = False,
    jobs: Annotated[
        str | None,
        typer.Option(
            envvar="TRITONREEL_JOBS",
            help="Where jobs are kept, so that they survive a restart: sqlite:///FILE, or "
            "postgresql://USER:PASSWORD@HOST/DATABASE for several servers with one queue, which need one storage, too.",
            show_default="jobs.sqlite in the run folder",
        ),
    ] = None,
    port: Annotated[int, typer.Option(envvar="TRITONREEL_PORT", help="HTTP API. 0 chooses a free port.")] = 8000,
    grpc_port: Annotated[int, typer.Option(envvar="TRITONREEL_GRPC_PORT", help="Triton, gRPC.")] = 8001,
    metrics_port: Annotated[int, typer.Option(envvar="TRITONREEL_METRICS_PORT", help="Triton, metrics.")] = 8002,
    other_triton: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            envvar="TRITONREEL_OTHER_TRITONS",
            help="gRPC of a Triton server that something else runs, such as another launcher with --no-frontend, to "
            "which the HTTP API sends jobs too; give it several times for several.",
            show_default="none",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel,
        typer.Option(
            envvar="TRITONREEL_LOG_LEVEL",
            case_sensitive=False,
            help="Of the frontend; debug also makes Triton verbose.",
        ),
    ] = LogLevel.INFO,
    storage: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="TRITONREEL_STORAGE",
            callback=_checked(parse_location),
            help="Where finished videos are kept: a folder, or s3://BUCKET/PREFIX, with ?endpoint=URL&region=NAME&"
            "path_style=true behind it for servers other than AWS. The keys of S3 are read from AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY.",
            show_default="storage in the run folder",
        ),
    ] = "",
    run_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="TRITONREEL_RUN_DIR",
            readable=False,
            help="Folder for this server's logs and state; each server needs its own.",
            show_default="run/PORT",
        ),
    ] = None,
    frontend: Annotated[bool, typer.Option(help="Start the HTTP API, or Triton alone.")] = True,
    shm_region_mib: Annotated[
        int,
        typer.Option(
            envvar="TRITONREEL_SHM_REGION_MIB",
            min=1,
            help="First size and growth step, in MiB, of each model process's shared memory.",
        ),
    ] = Settings.shm_region_mib,
    residency: Annotated[
        Choice,
        typer.Option(
            envvar="TRITONREEL_RESIDENCY",
            case_sensitive=False,
            help="Where weights are while jobs run. resident: every model stays loaded; swap: text encoder, "
            "transformers and VAE are loaded and unloaded as jobs move on, the next one while the current one runs, "
            "where both fit; auto: resident where all weights fit beside a job, else swap.",
        ),
    ] = Settings.residency,
    weights_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            envvar="TRITONREEL_WEIGHTS_MEMORY",
            help="What the weights of loaded models may take together, such as 24GB or 24GiB.",
            show_default="what the GPU, or else the machine, has left beside a job of the default size",
        ),
    ] = None,
    restart_limit: Annotated[
        int,
        typer.Option(
            envvar="TRITONREEL_RESTART_LIMIT",
            min=0,
            help=f"How often one process may die, each time within {Settings.restart_window / 60:.0f} minutes of the "
            "last, before jobs that need it are refused. It is brought back ever later, at most a minute, without end.",
        ),
    ] = Settings.restart_limit,
) -> None:
    """Serve video and image generation on this machine.

    It starts tritonserver with the exported models, and the HTTP API in front of it.
    Both are watched, and started again when they die. Ctrl-C stops everything.

    \b
    Examples:
      python -m launcher                              serve on http://127.0.0.1:8000
      python -m launcher --model wan2.2-ti2v-5b --model qwen-image
                                                      these two of the exported models
      python -m launcher keys add NAME                make an API key
      python -m launcher --host 0.0.0.0 --port 9000   open to the network, for who has a key
      python -m launcher --port 0 --grpc-port 0 --metrics-port 0
                                                      a second server, on free ports
      python -m launcher --residency swap --weights-memory 24GB
                                                      models come and go within 24 GB
      python -m launcher --no-frontend --grpc-port 9001 --metrics-port 9002 --device cuda:1
                                                      Triton alone, on a second GPU
      python -m launcher --other-triton 127.0.0.1:9001
                                                      that one makes videos too
      python -m launcher stop                         stop what was started from this folder
      python -m launcher drain 127.0.0.1:9001         let it finish, and send it no more
      python -m launcher mcp                          video tools for an agent
    """
    if context.invoked_subcommand is not None:
        return
    _log_to_console()
    os.umask(UMASK)
    stop_signal = StopSignal()
    stop_signal.install()
    try:
        ports = port_choice.resolve(Ports(port, grpc_port, metrics_port))
        settings = Settings(
            run_dir=run_dir or _RUNS / str(ports.frontend if frontend else ports.grpc),
            model_repository=model_repository,
            models=tuple(dict.fromkeys(model or ())),
            export=tuple(export or ()),
            lora_dir=lora_dir,
            engine=engine,
            device=device,
            host=host,
            triton_host=triton_host,
            tritonserver=tritonserver,
            allowed_hosts=hosts_of(allowed_host),
            allowed_origins=origins_of(allowed_origin),
            keys_file=keys_file,
            no_auth=no_auth,
            jobs=jobs,
            ports=ports,
            storage=storage,
            log_level=log_level.value,
            with_frontend=frontend,
            other_tritons=servers_of(other_triton),
            shm_region_mib=shm_region_mib,
            residency=residency,
            weights_bytes=None if weights_memory is None else parse_size(weights_memory, "--weights-memory"),
            restart_limit=restart_limit,
        )
        launch(settings, stop_signal)
    except LauncherError as error:
        raise _failed(str(error)) from None
    except OSError as error:  # a disk that fills up, a file that goes away: whatever it is, a person reads it
        raise _failed(f"Cannot go on: {in_words(error)}.") from None


@app.command()
def stop(
    run_dir: Annotated[
        Path | None,
        typer.Option(envvar="TRITONREEL_RUN_DIR", readable=False, help="Of the server.", show_default="every run/PORT"),
    ] = None,
) -> None:
    """Stop servers that run, and clean up after servers that were killed."""
    _log_to_console()
    folders = [run_dir] if run_dir else sorted(_RUNS.glob("*"))
    try:
        stopped = [folder for folder in folders if stop_instance(folder)]
    except LauncherError as error:
        raise _failed(str(error)) from None
    typer.echo(f"Stopped the server in {', '.join(map(str, stopped))}." if stopped else "No server is running.")


def _log_to_console() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _failed(message: str) -> typer.Exit:
    typer.secho(message, err=True, fg=typer.colors.RED)
    return typer.Exit(1)


if __name__ == "__main__":
    app()
