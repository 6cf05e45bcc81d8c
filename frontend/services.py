"""What the routes work with, made once by `create_app`."""

from dataclasses import dataclass
from typing import Annotated, cast

import httpx
from fastapi import Depends, Request

from frontend.admission import Admission
from frontend.drains import Drains
from frontend.generators.pool import Pool
from frontend.job_files import JobFiles
from frontend.jobs.service import JobService
from frontend.launcher_status import LauncherStatus
from frontend.media.image_decoder import ImageDecoder
from frontend.media.image_fetcher import ImageFetcher
from frontend.metrics import Metrics
from frontend.model_catalog import ModelCatalog
from frontend.settings import Settings
from frontend.storage.storage import Storage
from frontend.video_service.assets import Assets
from frontend.video_service.service import VideoService


@dataclass(frozen=True)
class Services:
    """One set an application."""

    settings: Settings
    pool: Pool
    launcher_status: LauncherStatus
    catalog: ModelCatalog
    jobs: JobService
    drains: Drains
    admission: Admission
    storage: Storage
    files: JobFiles
    video_service: VideoService
    assets: Assets | None
    """None where there is no bucket for them"""
    images: ImageDecoder
    image_fetcher: ImageFetcher
    metrics: Metrics
    http: httpx.AsyncClient
    started_at: int
    """unix time"""


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(_services)]
