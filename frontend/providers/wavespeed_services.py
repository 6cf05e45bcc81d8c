"""The four models of WaveSpeed as classes, for programs that know them by these names."""

from typing import Any, ClassVar

from frontend.providers import wavespeed
from frontend.providers.entry import GeneratedVideo, ai_video_generate
from frontend.providers.hosted_model import HostedModel


class _WaveSpeedService:
    MODEL: ClassVar[HostedModel]

    async def generate_video(self, prompt: str, **options: Any) -> GeneratedVideo:
        """See `ai_video_generate`; `provider` and `model` are the class's."""
        return await ai_video_generate(prompt, provider=wavespeed.NAME, model=self.MODEL.id, **options)


class HunyuanVideoService(_WaveSpeedService):
    """HunyuanVideo-1.5: 5, 8 or 10 seconds in 480p or 720p."""

    MODEL = wavespeed.HUNYUAN


class LTX2ProService(_WaveSpeedService):
    """LTX-2 Pro: 6, 8 or 10 seconds in 1080p, with sound."""

    MODEL = wavespeed.LTX_2_PRO


class LTX2FastService(_WaveSpeedService):
    """LTX-2 Fast: 6 to 20 seconds in 1080p, with sound."""

    MODEL = wavespeed.LTX_2_FAST


class LTX2RetakeService(_WaveSpeedService):
    """LTX-2 Retake: another take of a video. The prompt says which part of it ("between 3s and 7s")."""

    MODEL = wavespeed.LTX_2_RETAKE

    async def generate_video(self, prompt: str, **options: Any) -> GeneratedVideo:
        """See `ai_video_generate`; `video` is the URL of the earlier one."""
        return await super().generate_video(prompt, operation_type="video-to-video", **options)
