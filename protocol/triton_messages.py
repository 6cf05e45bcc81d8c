"""What Triton's error messages mean: they are all that it says, codes do not come through to a model's own calls."""

MODEL_AWAY = (
    "is not healthy",  # the model's process has died, or did not answer in time
    "unknown model",  # it is unloaded
    "is not ready",  # it is being loaded or unloaded
    "Server is stopping",
)
"""Parts of Triton's messages about a model that cannot be called now, though the request may be right.

Whole phrases of Triton's own: the messages also carry what a model's code raised.
"""


def says_model_is_away(message: str) -> bool:
    """Whether Triton says that a model cannot be called now, and not that the call has failed."""
    return any(part in message for part in MODEL_AWAY)
