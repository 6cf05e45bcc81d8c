"""What a file was made with, as the file itself says it: an MP4 in its `comment`, a PNG in an iTXt chunk.

Without `tritonreel` and `task` it is a request that makes the same file again. It holds nothing that differs from one
run of a job to the next, so that these make equal files.
"""

import json
from importlib.metadata import version
from typing import Any

from frontend.jobs.product import VideoProduct
from frontend.jobs.spec import JobSpec

_FIRST = ("prompt", "negative_prompt", "width", "height", "num_frames")
_LAST = ("seed", "lora")


def parameters_of(spec: JobSpec, part: int) -> str:
    """Those of the video or image number `part`, from 0, of a job that runs here: compact JSON, in one line."""
    used = spec.samples[part].model_dump(mode="json", exclude_none=True)
    values: dict[str, Any] = {
        "tritonreel": version("tritonreel"),
        "task": spec.task(has_image=spec.image is not None),
        "model": spec.model,
        **{name: used.pop(name) for name in _FIRST},
    }
    if isinstance(spec.product, VideoProduct):
        values["fps"] = float(spec.product.fps)
    else:
        del values["num_frames"]
    last = {name: used.pop(name) for name in _LAST}
    return json.dumps(values | used | last, ensure_ascii=False, separators=(",", ":"))
