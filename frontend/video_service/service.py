"""Chooses who makes a video: a hosted provider, or a model of this server."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from frontend.errors import NotImplementedHere
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import HostedReport, Job
from frontend.media.reference_image import ReferenceImage
from frontend.model_catalog import ModelCatalog
from frontend.providers.errors import ProviderNotConfigured
from frontend.providers.hosted_model import HostedModel
from frontend.providers.registry import Registry
from frontend.schemas.video_service import VideoServiceRequest
from frontend.video_service.hosted_plan import plan_hosted
from frontend.video_service.local_plan import plan_local, plan_local_extension
from frontend.video_service.wishes import named
from protocol.errors import InvalidRequest, ModelNotFound
from protocol.model_card import ModelCard, Task

Planner = Callable[[ReferenceImage | None], JobSpec]
LOCAL = "local"
_DEFAULT_MODEL = "veo-3.1-fast"
_DEFAULT_EXTENSION_MODEL = "kling-v1"
_PROVIDERS = {"kling": "klingai", "veo": "gemini", "gemini": "gemini", "sora": "openai", "openai": "openai"}
"""by what the names of their models begin with"""


@dataclass(frozen=True)
class VideoService:
    """Plans the jobs of `/video/generate` and `/video/extend`."""

    catalog: ModelCatalog
    registry: Registry

    async def planner(self, body: VideoServiceRequest) -> Planner:
        """What makes the job of a video, of the image that it starts from; the job does not have it yet.

        Raises:
            InvalidRequest: names the field, and what is allowed; the planner, too.
            ProviderNotConfigured: no key is set for the model's provider.
            ModelNotFound, ModelNotReady, EngineUnavailable: of a model of this server.
        """
        settings = body.settings.video
        hosted = self._hosted(settings.model)
        if hosted is not None:
            return partial(plan_hosted, body.prompt, settings, hosted)
        task: Task = "text-to-video" if body.input_image_url is None else "image-to-video"
        return partial(plan_local, body.prompt, settings, await self._own(settings.model, task))

    async def plan_extension(self, body: VideoServiceRequest, video_id: str, original: Job | None) -> JobSpec:
        """The job of a video that goes on; where a model of this server makes it, the last frame is missing.

        Args:
            original: the video, where it is one of this server's.

        Raises:
            NotImplementedHere: nothing here can make it longer. Otherwise as `planner`.
        """
        prompt, settings = body.prompt, body.settings.video
        name = settings.model
        if original is None:
            hosted = self.hosted(_DEFAULT_EXTENSION_MODEL) if name is None else self._hosted(name)
            if hosted is None:
                raise InvalidRequest(
                    "is no video of this server, whose own models extend no others; for a provider's name its model",
                    named("video_id"),
                )
            return plan_hosted(prompt, settings, hosted, source=video_id)
        source = _source_of(original)
        hosted = None if source is None else self._hosted(name or original.spec.model)
        if hosted is not None and (name is not None or hosted.can("video-extension")):
            return plan_hosted(prompt, settings, hosted, source=source)
        return plan_local_extension(prompt, settings, original, await self._model_that_goes_on(name, original))

    def hosted(self, name: str | None) -> HostedModel | None:
        """The model of a provider that there is a key for; None for a model of this server, and for none at all."""
        return None if name is None or self.catalog.is_alias(name) else self.registry.usable(name)

    async def _model_that_goes_on(self, name: str | None, original: Job) -> ModelCard:
        """The one of that name, or the video's own where it starts from images, or the first that does."""
        if name in (None, LOCAL):
            own = [card for card in await self.catalog.cards() if card.id == original.spec.model and card.takes_image]
            name = own[0].id if own else None
        elif self._hosted(name) is not None:
            raise NotImplementedHere(f"{name} did not make the video, and cannot extend it", named("model"))
        try:
            return await self._own(name, "image-to-video")
        except InvalidRequest as error:
            raise NotImplementedHere(f"a video goes on from its last frame, and {error.message}") from None

    async def _own(self, name: str | None, task: Task) -> ModelCard:
        """A model of this server. Raises as `ModelCatalog.choose`."""
        field = named("model")
        try:
            return await self.catalog.choose(None if name == LOCAL else name, task, field)
        except ModelNotFound as error:
            raise ModelNotFound(error.message, field) from None

    def _hosted(self, name: str | None) -> HostedModel | None:
        """The hosted model of that name; None where one of this server is meant.

        Raises:
            InvalidRequest: its provider has no such model.
            ProviderNotConfigured: there is no key for it.
        """
        if name is None:
            there = [model.id for model in self.registry.models()]
            name = _DEFAULT_MODEL if _DEFAULT_MODEL in there else next(iter(there), LOCAL)
        if name == LOCAL or self.catalog.is_alias(name):
            return None
        provider = next((one for prefix, one in _PROVIDERS.items() if name.lower().startswith(prefix)), None)
        if provider is None and not self.registry.has(name):
            return None
        try:
            return self.registry.model(None if name.lower() in _PROVIDERS else name, provider)
        except (InvalidRequest, ProviderNotConfigured) as error:
            raise type(error)(error.message, named("model")) from None


def _source_of(original: Job) -> str | None:
    """What its provider extends it by; None where it is not a hosted one, or cannot be extended."""
    report = original.outputs[0].report if original.outputs else None
    return report.extension_source if isinstance(report, HostedReport) else None
