import pytest
from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

from pipelines.schedulers import make_dynamic_scheduler

CONFIG = {
    "use_dynamic_shifting": True,
    "base_image_seq_len": 256,
    "max_image_seq_len": 8192,
    "base_shift": 0.5,
    "max_shift": 0.9,
    "shift_terminal": 0.02,
}


@pytest.mark.parametrize("tokens", [1, 256, 3000, 4096, 8192, 20000])
def test_the_shift_of_a_size_is_diffusers(tokens: int) -> None:
    reference = FlowMatchEulerDiscreteScheduler.from_config(CONFIG)
    mu = calculate_shift(tokens, 256, 8192, 0.5, 0.9)
    reference.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25], mu=mu)
    assert make_dynamic_scheduler(CONFIG, tokens, 4).sigmas.tolist() == reference.sigmas.tolist()
