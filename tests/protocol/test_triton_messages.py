"""Triton's messages, as it and the Python back end of version 2.51 write them."""

import pytest

from protocol.triton_messages import says_model_is_away


@pytest.mark.parametrize(
    "message",
    [
        "Failed to process the request(s) for model instance 'wan_vae_0_0', message: Stub process 'wan_vae_0_0' is not "
        "healthy.",
        "Request for unknown model: 'generate' has no available versions",
        "Failed for execute the inference request. Model 'wan_vae' is not ready.",
        "Server is stopping, scheduler for model has stopped accepting new inference requests",
    ],
)
def test_a_model_that_is_away(message: str) -> None:
    assert says_model_is_away(message)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "wan_vae: out of memory",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Resource temporarily unavailable",
        "[request id: 1] unexpected shape for input 'prompt' for model 'generate'. Expected [1], got [2].",
    ],
)
def test_a_call_that_failed(message: str) -> None:
    assert not says_model_is_away(message)
