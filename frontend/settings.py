"""The frontend's configuration: environment variables that start with `TRITONREEL_`, read once."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from frontend.http.authority import parse_hosts, parse_origins, parse_servers


def parse_aliases(value: object) -> object:
    """`ALIAS=MODEL` pairs with spaces or commas between them."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in re.split(r"[\s,]+", value) if pair]
    if wrong := ["".join(pair) for pair in pairs if not all(pair)]:
        raise ValueError(f"must be pairs ALIAS=MODEL with spaces between them, got {', '.join(wrong)}")
    return {alias: model for alias, _, model in pairs}


def parse_public_url(value: object) -> object:
    """An origin, written as browsers write it."""
    if not isinstance(value, str):
        return value
    origins = parse_origins(value.removesuffix("/"))
    if len(origins) != 1:
        raise ValueError(f"must be one origin like https://video.example.com, got {value[:200]!r}")
    return origins[0]


class Settings(BaseSettings):
    """`TRITONREEL_TRITON_URL` sets `triton_url`, and so on."""

    model_config = SettingsConfigDict(env_prefix="TRITONREEL_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    triton_url: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_servers), Field(min_length=1)] = (
        "127.0.0.1:8001",
    )
    """host:port of Triton's gRPC service; several, separated by commas, share the jobs"""
    triton_metrics_url: str = "http://127.0.0.1:8002/metrics"
    """of the only Triton, appended to our own /metrics; empty where Prometheus asks the Tritons itself"""

    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_hosts)] = ()
    """names and addresses that the server may be called by, besides its own address and those of loopback; separated
    by commas"""
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_origins)] = ()
    """origins whose pages may use the API, such as https://app.example.com; separated by commas"""
    keys_file: Path | None = None
    """where `tritonreel keys` keeps the hashes of the API keys; in the user's configuration folder if None"""
    api_key: SecretStr | None = None
    """one more key, for containers"""
    no_auth: bool = False
    """ask for no key, whoever can reach the server"""
    launcher_status: Path | None = None
    """the file in which the launcher says what is away; it sets this itself"""

    model_aliases: Annotated[dict[str, str], NoDecode, BeforeValidator(parse_aliases)] = {}
    """other names of served models, for clients that know only theirs: `sora-2=wan2.2-t2v-a14b gpt-image-1=qwen`"""

    storage: str = "storage"
    """where finished videos are kept: a folder, or s3://BUCKET/PREFIX, see `frontend.storage.location`; its keys are in
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"""
    assets: str = ""
    """the bucket, written as `storage` is, into which `/video/generate` and `/video/extend` put their videos for good:
    customers/ID/assets/video/TIME_UUID.mp4; that of `storage` if empty, and none where that is a folder"""
    asset_urls: Literal["signed", "public"] = "signed"
    """how these are told: by URLs that work for `url_seconds`, or by those of a bucket that everybody can read"""
    spool: Path = Path("spool")
    """the folder from which files are uploaded to S3; what cannot be uploaded stays there until it can"""

    videos_respond: Literal["wait", "async"] = "wait"
    """when `POST /v1/videos` is answered: once the videos are done, or at once; a request's `Prefer` overrides it"""
    public_url: Annotated[str | None, BeforeValidator(parse_public_url)] = None
    """how clients reach the server, for the URLs that it gives out: https://video.example.com; as they call it if
    None"""
    url_seconds: PositiveInt = 3600
    """for which a URL that needs no API key works"""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = "info"
    log_format: Literal["console", "json"] = "console"

    max_body_bytes: PositiveInt = 1024 * 1024
    """a larger request body is answered with 413"""
    max_upload_bytes: PositiveInt = 32 * 1024 * 1024
    """the same, where a body may carry an image"""
    max_held_body_bytes: PositiveInt = 256 * 1024 * 1024
    """of all request bodies together, those of running jobs too; of each the first 64 KiB do not count. Further bodies
    wait, and are answered with 503 when nothing becomes free"""
    held_body_wait_seconds: PositiveFloat = 5
    """how long they wait"""

    max_connections: int = Field(512, ge=32)
    """open at the same time, fewer where the process may not open so many files. When all are taken, a new one replaces
    the one that has waited longest for a request; when every one is at work, it is answered with 503"""
    request_head_timeout_seconds: PositiveFloat = 10
    """a connection that does not bring a request line and headers in this time is closed"""
    keep_alive_timeout_seconds: PositiveInt = 15
    """how long a connection stays open for a next request; longer than HTTP clients keep one, 5 s for `openai`"""
    transfer_stall_seconds: PositiveFloat = 20
    """a client that sends its body, or reads its answer, may pause for so long (408, or a closed connection)"""
    transfer_min_bytes_per_second: PositiveInt = 10_000
    """and must be this fast on average. No clock runs while a job runs"""

    max_image_pixels: int = Field(64_000_000, gt=0, le=178_000_000)
    """a larger image is answered with 400 before it is decoded, which takes up to 16 bytes per pixel, in a process of
    its own; Pillow's own limit is not far above the greatest value"""
    fetch_urls: Literal["https", "http", "off"] = "https"
    """which URLs of images are fetched, from public addresses alone: `https`, `http` for both, `off` for none but data:
    URIs"""
    unknown_fields: Literal["warn", "refuse"] = "warn"
    """`warn` names them in the response's `warnings`, `refuse` answers 422"""

    job_timeout_seconds: PositiveFloat = 3600
    """a video or image that is not done after this long, waiting included, is answered with 504"""
    stall_timeout_seconds: PositiveFloat = 10
    """`generate` speaks once per second; after this long a silent one is given up with 503"""
    checkpoint_seconds: float = Field(30, ge=0, allow_inf_nan=False)
    """how often a job that is being sampled is saved, so that it goes on from there after a restart; 0 for never"""
    preview_seconds: float = Field(2, ge=0, allow_inf_nan=False)
    """how often a video or image that is being sampled shows what it is going to look like, to who asks; 0 for never"""
    shutdown_timeout_seconds: PositiveInt = 5
    """on SIGTERM, requests that are not done after this long are answered with 503"""

    jobs: SecretStr | None = None
    """where jobs are kept so that they survive the process: sqlite:///FILE for one frontend, or
    postgresql://USER:PASSWORD@HOST/DATABASE for several, which share `storage` too; in memory alone if None"""
    keep_jobs_seconds: PositiveInt = 24 * 3600
    """for which the record and the files of a job are kept after its end"""
    max_dollars_per_request: PositiveFloat | None = None
    """that a request for videos of a hosted provider may cost, by the price list; no limit if None"""
    max_dollars_per_day: PositiveFloat | None = None
    """the same for all requests of a day of UTC; see also `tritonreel keys --dollars-per-day`"""
    max_running_jobs: PositiveInt = 16
    """of this frontend, those that wait in `generate` included; further ones wait in the queue, where keys take turns.
    `generate` runs 8: enough for one to be there when another ends, and for those of several frontends"""
    max_hosted_jobs: PositiveInt = 64
    """the same of those that hosted providers make, which wait for them alone"""
    max_waiting_jobs: PositiveInt = 1000
    """in the queue, of all frontends that share it; one more is answered with 429"""
