"""What the routes work with, made once by `create_app`."""

from dataclasses import dataclass
from typing import Annotated, cast

import httpx
from fastapi import Depends, Request

from frontend.clip import ClipMaker
from frontend.generators.generator import Engine
from frontend.launcher_status import LauncherStatus
from frontend.media.image_decoder import ImageDecoder
from frontend.metrics import Metrics
from frontend.model_catalog import ModelCatalog
from frontend.picture import PictureMaker
from frontend.recent_videos import RecentVideos
from frontend.settings import Settings


@dataclass(frozen=True)
class Services:
    """One set an application."""

    settings: Settings
    engine: Engine
    launcher_status: LauncherStatus
    catalog: ModelCatalog
    clips: ClipMaker
    pictures: PictureMaker
    recent_videos: RecentVideos
    images: ImageDecoder
    metrics: Metrics
    http: httpx.AsyncClient
    started_at: int
    """unix time"""


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(_services)]
