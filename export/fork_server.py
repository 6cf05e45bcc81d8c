"""The process that workers are forked from, with everything imported that takes long."""

from multiprocessing import forkserver

_PRELOADED = (
    "export.workers",
    "export.families",
    "torch._dynamo",
    "torch.onnx",
    "onnxscript",
    "diffusers.models.autoencoders.autoencoder_kl_wan",
    "diffusers.models.transformers.transformer_wan",
    "transformers.models.umt5.modeling_umt5",
)


def start_fork_server() -> None:
    """Start it, if it does not run. Call it early: it imports while this process does other things."""
    forkserver.set_forkserver_preload(list(_PRELOADED))
    forkserver.ensure_running()
