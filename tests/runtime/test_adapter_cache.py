"""Adapters loaded once, kept within bounds, and never mixed up."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch.utils.dlpack import from_dlpack

from pipelines.lora.folder import LoraFolder
from pipelines.lora.targets import Sizes
from protocol.errors import InvalidRequest, ModelFailed
from protocol.lora import AppliedLora, AppliedLoras
from runtime.adapter_cache import AdapterCache, OptionalInput
from runtime.dtypes import BFLOAT16, FLOAT16, FLOAT32
from runtime.tensors import from_float32
from tests.adapters import Matrices, random_matrices, save, save_diffusers

SIZES: Sizes = {"a.to_q": (4, 6), "a.to_v": (4, 4), "unused": (4, 4)}
INPUTS: dict[str, tuple[int | str, ...]] = {
    "a.to_q.lora_A": (4, "rank"),
    "a.to_q.lora_B": ("rank", 6),
    "a.to_v.lora_A": (4, "rank"),
    "a.to_v.lora_B": ("rank", 4),
    "a.to_v.bias.diff": (4,),
    "another": (1,),
}
"""of a graph that needs no `unused`"""
LOW_RANK = list(INPUTS)[:4]

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


def cache(folder: LoraFolder, max_bytes: int = 10**6, dtype: str = FLOAT32) -> AdapterCache[ort.OrtValue]:
    inputs = {name: OptionalInput(dtype, shape) for name, shape in INPUTS.items()}
    return AdapterCache(folder, inputs, from_float32, max_bytes)


def applied(folder: LoraFolder, **scales: float) -> str:
    """By the file's name, which starts with an underscore to be an argument's."""
    adapters = [(folder.by_name(name.removeprefix("_")), scale) for name, scale in scales.items()]
    return AppliedLoras(
        component="transformer",
        adapters=tuple(AppliedLora(file=a.path.name, version=a.version, scale=scale) for a, scale in adapters),
    ).model_dump_json()


def test_the_inputs_are_the_matrices_transposed_and_scaled(folder: LoraFolder) -> None:
    feeds = cache(folder).feeds(applied(folder, _0=0.5))
    assert sorted(feeds) == LOW_RANK
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
    assert [feeds[name].shape() for name in LOW_RANK] == [[4, 5], [5, 6], [4, 3], [3, 4]]
    update = feeds["a.to_q.lora_A"].numpy() @ feeds["a.to_q.lora_B"].numpy()
    (down, up), (q_down, q_up) = matrices(0)["a.to_q"], random_matrices(SIZES, 2, seed=9)["a.to_q"]
    expected = 0.7 * (up @ down) + 0.4 * (q_up @ q_down)
    np.testing.assert_allclose(update.T, expected.numpy(), atol=1e-6)


def test_whole_differences_are_updates_of_full_rank_or_stand_for_themselves(folder: LoraFolder, tmp_path: Path) -> None:
    difference, bias = torch.randn(6, 4), torch.randn(4)
    whole = {"a.to_q.diff": difference, "a.to_v.diff_b": bias, "unused.diff": torch.ones(4, 4), "b.diff_b": bias}
    save(tmp_path / "whole.safetensors", whole)
    feeds = cache(folder).feeds(applied(folder, whole=0.5, _0=1.0))
    assert sorted(feeds) == sorted([*LOW_RANK, "a.to_v.bias.diff"])
    down, up = matrices(0)["a.to_q"]
    update = feeds["a.to_q.lora_A"].numpy() @ feeds["a.to_q.lora_B"].numpy()
    np.testing.assert_allclose(update.T, (0.5 * difference + up @ down).numpy(), atol=1e-6)
    np.testing.assert_array_equal(feeds["a.to_v.bias.diff"].numpy(), (0.5 * bias).numpy())
    twice = cache(folder).feeds(applied(folder, whole=0.5, _whole=0.25))
    np.testing.assert_allclose(twice["a.to_v.bias.diff"].numpy(), (0.75 * bias).numpy(), rtol=1e-6)


@pytest.mark.parametrize(("layer", "shape"), [("a.to_q", (6, 4)), ("wide", (3, 5))])
def test_a_whole_difference_is_rounded_nowhere(
    layer: str, shape: tuple[int, int], folder: LoraFolder, tmp_path: Path
) -> None:
    """An identity is one of its matrices, the smaller one."""
    difference = torch.randn(shape)
    save(tmp_path / "whole.safetensors", {f"{layer}.diff": difference})
    inputs: dict[str, tuple[int | str, ...]] = {
        f"{layer}.lora_A": (shape[1], "rank"),
        f"{layer}.lora_B": ("rank", shape[0]),
    }
    kept = AdapterCache(
        folder, {name: OptionalInput(FLOAT32, size) for name, size in inputs.items()}, from_float32, 10**6
    )
    feeds = kept.feeds(applied(folder, whole=1.0))
    down, up = (feeds[name].numpy() for name in inputs)
    assert down.shape[1] == min(shape)
    np.testing.assert_array_equal((down @ up).T, difference.numpy())


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
