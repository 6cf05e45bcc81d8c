"""Adapters loaded once, kept within bounds, and never mixed up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.dlpack import from_dlpack

from pipelines.lora.folder import LoraFolder
from pipelines.lora.targets import Sizes
from protocol.errors import InvalidRequest, ModelFailed
from protocol.lora import AppliedLora, AppliedLoras
from runtime.adapter_cache import AdapterCache
from runtime.tensors import BFLOAT16, FLOAT16, FLOAT32
from tests.adapters import Matrices, random_matrices, save_diffusers

SIZES: Sizes = {"a.to_q": (4, 6), "a.to_v": (4, 4), "unused": (4, 4)}
INPUTS = ["a.to_q.lora_A", "a.to_q.lora_B", "a.to_v.lora_A", "a.to_v.lora_B", "another"]
"""of a graph that needs no `unused`"""

BYTES = 4 * 3 * (4 + 6 + 4 + 4)
"""of a rank 3 adapter of both layers"""


@pytest.fixture
def folder(tmp_path: Path) -> LoraFolder:
    for i in range(4):
        save_diffusers(tmp_path / f"{i}.safetensors", matrices(i))
    save_diffusers(tmp_path / "q.safetensors", random_matrices(SIZES, 2, seed=9, only="to_q"))
    return LoraFolder(tmp_path)


def matrices(seed: int) -> Matrices:
    return random_matrices(SIZES, 3, seed)


def cache(folder: LoraFolder, max_bytes: int = 10**6, dtype: str = FLOAT32) -> AdapterCache:
    return AdapterCache(folder, dict.fromkeys(INPUTS, dtype), "cpu", max_bytes)


def applied(folder: LoraFolder, **scales: float) -> str:
    """By the file's name, which starts with an underscore to be an argument's."""
    adapters = [(folder.by_name(name.removeprefix("_")), scale) for name, scale in scales.items()]
    return AppliedLoras(
        component="transformer",
        adapters=tuple(AppliedLora(file=a.path.name, version=a.version, scale=scale) for a, scale in adapters),
    ).model_dump_json()


def test_the_inputs_are_the_matrices_transposed_and_scaled(folder: LoraFolder) -> None:
    feeds = cache(folder).feeds(applied(folder, _0=0.5))
    assert sorted(feeds) == INPUTS[:-1]
    down, up = matrices(0)["a.to_q"]
    np.testing.assert_array_equal(feeds["a.to_q.lora_A"].numpy(), down.numpy().T)
    np.testing.assert_allclose(feeds["a.to_q.lora_B"].numpy(), 0.5 * up.numpy().T)


@pytest.mark.parametrize(("dtype", "theirs"), [(FLOAT16, torch.float16), (BFLOAT16, torch.bfloat16)])
def test_the_inputs_have_the_dtype_that_the_graph_asks_for(folder: LoraFolder, dtype: str, theirs: torch.dtype) -> None:
    kept = cache(folder, max_bytes=2 * BYTES // 2, dtype=dtype)
    feeds = kept.feeds(applied(folder, _0=0.5))
    down, up = matrices(0)["a.to_q"]
    assert torch.equal(from_dlpack(feeds["a.to_q.lora_A"]), down.T.to(theirs))
    assert torch.equal(from_dlpack(feeds["a.to_q.lora_B"]), (0.5 * up.T).to(theirs))
    kept.feeds(applied(folder, _1=0.5))
    assert len(kept) == 2, "they take half of the memory"


def test_several_are_one_of_all_their_ranks(folder: LoraFolder) -> None:
    feeds = cache(folder).feeds(applied(folder, _0=0.7, q=0.4))
    assert [feeds[name].shape() for name in INPUTS[:-1]] == [[4, 5], [5, 6], [4, 3], [3, 4]]
    update = feeds["a.to_q.lora_A"].numpy() @ feeds["a.to_q.lora_B"].numpy()
    (down, up), (q_down, q_up) = matrices(0)["a.to_q"], random_matrices(SIZES, 2, seed=9)["a.to_q"]
    expected = 0.7 * (up @ down) + 0.4 * (q_up @ q_down)
    np.testing.assert_allclose(update.T, expected.numpy(), atol=1e-6)


def test_what_was_loaded_is_kept(folder: LoraFolder) -> None:
    kept = cache(folder)
    first = kept.feeds(applied(folder, _0=1))
    assert kept.feeds(applied(folder, _1=1)) is not first
    assert kept.feeds(applied(folder, _0=1)) is first
    assert kept.feeds(applied(folder, _0=0.5)) is not first


def test_the_one_used_longest_ago_goes_first(folder: LoraFolder) -> None:
    kept = cache(folder, max_bytes=2 * BYTES)
    texts = [applied(folder, **{f"_{i}": 1}) for i in range(3)]
    first, second = (kept.feeds(text) for text in texts[:2])
    assert kept.feeds(texts[0]) is first
    kept.feeds(texts[2])
    assert len(kept) == 2
    assert kept.feeds(texts[0]) is first
    assert kept.feeds(texts[1]) is not second


def test_one_larger_than_the_bound_is_kept_alone(folder: LoraFolder) -> None:
    kept = cache(folder, max_bytes=0)
    text = applied(folder, _0=1)
    assert kept.feeds(text) is kept.feeds(text)
    kept.feeds(applied(folder, _1=1))
    assert len(kept) == 1


def test_a_file_replaced_since_it_was_checked_is_not_applied(folder: LoraFolder, tmp_path: Path) -> None:
    kept = cache(folder)
    in_use, waiting = applied(folder, _0=1), applied(folder, _0=0.5)
    before = kept.feeds(in_use)
    save_diffusers(tmp_path / "0.safetensors", random_matrices(SIZES, 5, seed=0))
    assert kept.feeds(in_use) is before, "a job ends with the adapter that it began with"
    with pytest.raises(ModelFailed, match=r"'0\.safetensors' was replaced"):
        kept.feeds(waiting)
    (tmp_path / "0.safetensors").unlink()
    with pytest.raises(InvalidRequest, match="no adapter"):
        kept.feeds(waiting)


def test_a_path_outside_the_folder_is_not_followed(folder: LoraFolder, tmp_path: Path) -> None:
    save_diffusers(tmp_path.parent / "outside.safetensors", matrices(0))
    outside = AppliedLora(file="../outside.safetensors", version=(), scale=1)
    with pytest.raises(InvalidRequest, match="no adapter"):
        cache(folder).feeds(AppliedLoras(component="transformer", adapters=(outside,)).model_dump_json())
