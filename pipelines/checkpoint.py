"""A job between two steps, as bytes: a safetensors file, which can hold no code.

https://github.com/huggingface/safetensors#format
"""

import hashlib
import json

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipelines.solver_state import SolverState
from protocol.errors import InvalidRequest

FORMAT = "tritonreel-checkpoint-1"
_HEADER_LENGTH_BYTES = 8
_LATENTS, _LAST_SAMPLE, _OUTPUT = "latents", "last_sample", "output_"


def write_checkpoint(state: SolverState, identity: str) -> bytes:
    """What `read_checkpoint` reads. Brings the tensors to the host.

    Args:
        identity: of what is made, and with what; equal exactly where a job may go on from the state.
    """
    tensors = {_LATENTS: state.latents, **{f"{_OUTPUT}{i}": output for i, output in enumerate(state.outputs)}}
    if state.last_sample is not None:
        tensors[_LAST_SAMPLE] = state.last_sample
    arrays = {name: np.ascontiguousarray(tensor.cpu().numpy()) for name, tensor in tensors.items()}
    facts = {
        "format": FORMAT,
        "identity": identity,
        "steps_done": str(state.steps_done),
        "order": str(state.order),
    }
    return save(arrays, {**facts, "sha256": _checksum(facts, arrays)})


def read_checkpoint(content: bytes, identity: str) -> SolverState:
    """The state, on the host.

    Raises:
        InvalidRequest: it is of something else than `identity`, or it is damaged; the field is `resume`.
    """
    try:
        facts, arrays = _facts(content), load(content)
        checksum = facts.pop("sha256")
        if facts["format"] != FORMAT or checksum != _checksum(facts, arrays):
            raise ValueError(facts["format"])
        steps_done, order = int(facts["steps_done"]), int(facts["order"])
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        latents, last_sample = tensors.pop(_LATENTS), tensors.pop(_LAST_SAMPLE, None)
        outputs = tuple(tensors[f"{_OUTPUT}{i}"] for i in range(len(tensors)))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise InvalidRequest("it is no checkpoint of this release, or it is damaged", "resume") from None
    if facts["identity"] != identity:
        raise InvalidRequest("it is a checkpoint of another request, model or release", "resume")
    return SolverState(steps_done, latents, outputs, last_sample, order)


def _facts(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:_HEADER_LENGTH_BYTES], "little")
    header = json.loads(content[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + min(length, len(content))])
    return dict(header["__metadata__"])


def _checksum(facts: dict[str, str], arrays: dict[str, NDArray[np.float32]]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.reshape(-1).data)
    return digest.hexdigest()
