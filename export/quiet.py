"""Keeping the model libraries to themselves on a command line."""

import os


def quiet_libraries() -> None:
    """Turn off the progress bars and warnings of diffusers and transformers, and their look-ups on the network."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
