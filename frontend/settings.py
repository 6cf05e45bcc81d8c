"""The frontend's configuration: environment variables that start with `TRITONREEL_`, read once."""

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`TRITONREEL_TRITON_URL` sets `triton_url`, and so on."""

    model_config = SettingsConfigDict(env_prefix="TRITONREEL_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    triton_url: str = "127.0.0.1:8001"
    """host:port of Triton's gRPC service"""
    triton_metrics_url: str = "http://127.0.0.1:8002/metrics"
    """appended to our own /metrics"""

    launcher_status: Path | None = None
    """the file in which the launcher says what is away; it sets this itself"""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"

    max_body_bytes: PositiveInt = 1024 * 1024
    """a larger request body is answered with 413"""
    max_upload_bytes: PositiveInt = 32 * 1024 * 1024
    """the same, where a body may carry an image"""
    max_image_pixels: int = Field(64_000_000, gt=0, le=178_000_000)
    """a larger image is answered with 400 before it is decoded, which takes up to 20 bytes a pixel; Pillow's own
    limit is not far above the greatest value"""
    unknown_fields: Literal["warn", "refuse"] = "warn"
    """`warn` names them in the response's `warnings`, `refuse` answers 422"""

    job_timeout_seconds: PositiveFloat = 3600
    """a clip that is not done after this long, waiting included, is answered with 504"""
    stall_timeout_seconds: PositiveFloat = 10
    """`generate` speaks once a second; after this long a silent one is given up with 503"""
    shutdown_timeout_seconds: PositiveInt = 5
    """on SIGTERM, requests that are not done after this long are cancelled"""

    recent_videos_max_bytes: NonNegativeInt = 256 * 1024 * 1024
    """finished clips are kept in memory for `GET /v1/videos/{id}`, the newest that fit"""
    recent_videos_max_age_seconds: PositiveInt = 3600
