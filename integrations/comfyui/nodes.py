"""The nodes. A widget that is 0, or -1 for guidance, leaves the field to the model."""

import io
from typing import Any

import torch

from .frames import batch_of_images, data_uri_of_image, frames_of_video, rate_of_video
from .generation import generate
from .server import Server, listed, own_url

try:
    from comfy_api.input_impl import VideoFromFile
except ImportError:  # a ComfyUI from before it had videos
    VideoFromFile = None

CATEGORY = "Tritonreel"
SERVER, LORAS = "TRITONREEL_SERVER", "TRITONREEL_LORAS"
AUTO = "auto"
"""the server's first model that can do it"""
RANDOM = -1
"""as a seed: the server draws one"""
MAX_SEED = 2**53 - 1
"""what a browser's numbers hold; the server takes larger ones"""
_NO_ADAPTER = "(none)"
_OWN = "0: the model's own."
_TEXT = {"multiline": True}
_VIDEO_OUTPUTS = ("IMAGE", "FLOAT", "VIDEO") if VideoFromFile else ("IMAGE", "FLOAT")

Widgets = dict[str, tuple[Any, ...]]


class ServerNode:
    """Which server makes it. The key comes from the environment: workflows are shared."""

    CATEGORY = CATEGORY
    RETURN_TYPES = (SERVER,)
    RETURN_NAMES = ("server",)
    FUNCTION = "choose"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Widgets]:
        tip = "The server of TRITONREEL_URL, or http://127.0.0.1:8000, is what nodes ask without this one."
        return {"required": {"url": ("STRING", {"default": own_url(), "tooltip": tip})}}

    def choose(self, url: str) -> tuple[str]:
        return (Server(url).url,)


class LoraNode:
    """An adapter of the server, after those before it."""

    CATEGORY = CATEGORY
    RETURN_TYPES = (LORAS,)
    RETURN_NAMES = ("loras",)
    FUNCTION = "add"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Widgets]:
        names = [str(one.get("name")) for one in listed("/v1/loras")] or [_NO_ADAPTER]
        scale = {"default": 1.0, "min": -10.0, "max": 10.0, "step": 0.05}
        return {"required": {"name": (names,), "scale": ("FLOAT", scale)}, "optional": {"loras": (LORAS,)}}

    @classmethod
    def VALIDATE_INPUTS(cls, name: str | None = None) -> bool | str:
        """The server knows which there are, which may be another one than the list is of."""
        return True if name != _NO_ADAPTER else "the server has no adapter: put LoRA files into its folder"

    def add(self, name: str, scale: float, loras: tuple[Any, ...] = ()) -> tuple[tuple[Any, ...]]:
        return ((*loras, {"name": name, "scale": scale}),)


class _Generation:
    """What nodes that make something have in common."""

    CATEGORY = CATEGORY
    FUNCTION = "generate"
    TASK: str
    """as models of the server call it"""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Widgets]:
        models = [str(one.get("id")) for one in listed("/v1/models") if cls.TASK in one.get("tasks", ())]
        return {
            "required": {
                "model": ([AUTO, *models], {"tooltip": "auto: the first that can do it."}),
                "prompt": ("STRING", _TEXT),
                "negative_prompt": ("STRING", {**_TEXT, "tooltip": "Empty: the model's own."}),
                "seed": (
                    "INT",
                    {
                        "default": 0,
                        "min": RANDOM,
                        "max": MAX_SEED,
                        "control_after_generate": True,
                        "tooltip": "-1: the server draws one each time.",
                    },
                ),
                "width": ("INT", {"default": 0, "min": 0, "max": 16384, "step": 8, "tooltip": _OWN}),
                "height": ("INT", {"default": 0, "min": 0, "max": 16384, "step": 8, "tooltip": _OWN}),
                "num_inference_steps": ("INT", {"default": 0, "min": 0, "max": 200, "tooltip": _OWN}),
                **cls.widgets(),
            },
            "optional": {"server": (SERVER,), "loras": (LORAS,)},
        }

    @classmethod
    def widgets(cls) -> Widgets:
        """Those of this kind of generation."""
        raise NotImplementedError

    @classmethod
    def VALIDATE_INPUTS(cls, model: str | None = None, prompt: str | None = None) -> bool | str:
        """Taking the model here keeps ComfyUI from looking for it in a list that may be another server's."""
        if prompt is not None and not prompt.strip():
            return "prompt must have text"
        return True

    @classmethod
    def IS_CHANGED(cls, seed: int = 0, **_: Any) -> float | int:
        """The same inputs make the same again, unless the server draws the seed: NaN equals nothing."""
        return float("nan") if seed == RANDOM else seed


def guidance(tooltip: str) -> tuple[Any, ...]:
    return "FLOAT", {
        "default": -1.0,
        "min": -1.0,
        "max": 20.0,
        "step": 0.1,
        "tooltip": f"{tooltip} -1: the model's own.",
    }


def request_of(prompt: str, model: str, seed: int, loras: tuple[Any, ...] | None, **fields: Any) -> dict[str, Any]:
    """The body of a request: what is left to the model is left out."""
    body: dict[str, Any] = {"prompt": prompt}
    if model != AUTO:
        body["model"] = model
    if seed != RANDOM:
        body["seed"] = seed
    if loras:
        body["lora"] = list(loras)
    for name, value in fields.items():
        if value in ("", 0, None) and "guidance" not in name and "cfg" not in name:
            continue
        if value != -1:
            body[name] = value
    return body


class TextToImage(_Generation):
    """An image from a text, or several."""

    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)
    TASK = "text-to-image"

    @classmethod
    def widgets(cls) -> Widgets:
        return {
            "true_cfg_scale": guidance("Guidance by prompt and negative prompt."),
            "n": ("INT", {"default": 1, "min": 1, "max": 10, "tooltip": "Images; the i-th uses seed + i."}),
        }

    def generate(
        self,
        model: str,
        prompt: str,
        seed: int,
        server: str | None = None,
        loras: tuple[Any, ...] | None = None,
        **fields: Any,
    ) -> tuple[torch.Tensor]:
        body = request_of(prompt, model, seed, loras, **fields)
        files = generate(Server(server or own_url()), "/v1/images/generations", body)
        return (batch_of_images(files),)


class TextToVideo(_Generation):
    """A video from a text."""

    RETURN_TYPES = _VIDEO_OUTPUTS
    RETURN_NAMES = ("frames", "fps", "video")[: len(_VIDEO_OUTPUTS)]
    TASK = "text-to-video"

    @classmethod
    def widgets(cls) -> Widgets:
        return {
            "guidance_scale": guidance("Of the high-noise expert, or of the whole model."),
            "guidance_scale_2": guidance("Of the low-noise expert."),
            "num_frames": ("INT", {"default": 0, "min": 0, "max": 100_000, "tooltip": f"4k+1. {_OWN}"}),
            "fps": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 120.0, "step": 0.5, "tooltip": _OWN}),
        }

    def generate(
        self,
        model: str,
        prompt: str,
        seed: int,
        server: str | None = None,
        loras: tuple[Any, ...] | None = None,
        **fields: Any,
    ) -> tuple[Any, ...]:
        return video_of(server, "/v1/videos/generations", request_of(prompt, model, seed, loras, **fields))


class ImageToVideo(TextToVideo):
    """A video that starts from an image: the first of a batch."""

    TASK = "image-to-video"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Widgets]:
        types = super().INPUT_TYPES()
        return types | {"required": {"image": ("IMAGE",), **types["required"]}}

    def generate(  # type: ignore[override]
        self,
        image: torch.Tensor,
        model: str,
        prompt: str,
        seed: int,
        server: str | None = None,
        loras: tuple[Any, ...] | None = None,
        **fields: Any,
    ) -> tuple[Any, ...]:
        body = request_of(prompt, model, seed, loras, **fields)
        return video_of(server, "/v1/videos", body | {"input_reference": {"image_url": data_uri_of_image(image)}})


def video_of(server: str | None, path: str, body: dict[str, Any]) -> tuple[Any, ...]:
    """Frames, frames per second, and the MP4 as it is, where ComfyUI has videos."""
    (file,) = generate(Server(server or own_url()), path, body)
    outputs = (frames_of_video(file), rate_of_video(file))
    return (*outputs, VideoFromFile(io.BytesIO(file))) if VideoFromFile else outputs


NODE_CLASS_MAPPINGS = {
    "TritonreelServer": ServerNode,
    "TritonreelLora": LoraNode,
    "TritonreelTextToImage": TextToImage,
    "TritonreelTextToVideo": TextToVideo,
    "TritonreelImageToVideo": ImageToVideo,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "TritonreelServer": "Tritonreel Server",
    "TritonreelLora": "Tritonreel LoRA",
    "TritonreelTextToImage": "Tritonreel Text to Image",
    "TritonreelTextToVideo": "Tritonreel Text to Video",
    "TritonreelImageToVideo": "Tritonreel Image to Video",
}
