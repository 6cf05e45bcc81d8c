"""How much of a transformer's work a job still is."""

from protocol.events import Progress
from protocol.sampling import AnySpec, WanSpec


def evaluations(spec: AnySpec, progress: Progress | None = None) -> int:
    """Evaluations of a transformer that are left for one video or image, after `progress` if there is any.

    A guided step is two. Where only one of two experts is guided, all steps count as guided.
    """
    steps = spec.num_inference_steps if progress is None else progress.steps - progress.steps_done
    return steps * (2 if _is_guided(spec) else 1)


def _is_guided(spec: AnySpec) -> bool:
    if isinstance(spec, WanSpec):
        return max(spec.guidance_scale, spec.guidance_scale_2 or 0) > 1
    return spec.cfg_scale > 1
