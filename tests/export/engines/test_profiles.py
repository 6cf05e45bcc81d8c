"""The sizes that engines are built for, from a checkpoint's card and the names of a graph's sizes."""

from collections.abc import Sequence

import onnx
import pytest
from onnx import TensorProto, helper

from export.engines.errors import EngineError
from export.engines.profiles import Profile, Range, VideoSize, default_size, merged, profiles
from tests.model_cards import model_card

TOY_CARD = model_card()
OWN = default_size(TOY_CARD)
OTHER = VideoSize(128, 96, 17)


def graph(*inputs: tuple[str, Sequence[int | str]]) -> onnx.GraphProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
    return helper.make_graph([], "g", values, [])


def of(component: str, *sizes: VideoSize, rank: int = 8, takes_adapters: bool = True) -> dict[str, Profile]:
    found = profiles(TOY_CARD, component, sizes or (OWN,), batch=4, adapter_rank=rank, takes_adapters=takes_adapters)
    return {profile.name: profile for profile in found}


def test_one_wide_profile_and_one_per_served_size_each_without_and_with_adapters() -> None:
    assert list(of("transformer", OWN, OTHER)) == [
        "wide",
        str(OWN),
        "128x96x17",
        "wide, adapters",
        f"{OWN}, adapters",
        "128x96x17, adapters",
    ]
    assert list(of("transformer", rank=0)) == ["wide", str(OWN)]
    assert list(of("vae", takes_adapters=False)) == ["wide", str(OWN)]
    assert list(of("text_encoder")) == ["prompts"]


def test_a_served_size_is_exact_but_for_the_batch() -> None:
    latents = graph(("hidden_states", ["batch", 16, "frames", "height", "width"]), ("a", [4, "layer.rank"]))
    shapes = of("transformer", OTHER)["128x96x17"].shapes(latents)
    assert shapes["hidden_states"] == ([1, 16, 5, 12, 16], [2, 16, 5, 12, 16], [4, 16, 5, 12, 16])
    assert shapes["a"] == ([4, 0], [4, 0], [4, 0])
    assert of("transformer", OTHER)["128x96x17, adapters"].shapes(latents)["a"] == ([4, 1], [4, 8], [4, 8])


def test_the_wide_profile_takes_all_served_sizes_in_both_orientations_and_smaller_ones() -> None:
    latents = graph(("hidden_states", ["batch", 16, "frames", "height", "width"]))
    (least, best, most) = of("transformer", OWN, OTHER)["wide"].shapes(latents)["hidden_states"]
    assert least == [1, 16, 1, 2, 2]
    assert best == [2, 16, (OWN.num_frames - 1) // 4 + 1, OWN.height // 8, OWN.width // 8]
    assert most == [4, 16, 5, 16, 16]


def test_as_many_patches_as_the_largest_video_of_the_wide_profile_has() -> None:
    """TI2V's timesteps, one per patch: 5 latent frames of 128x128 pixels, which is higher than what is served."""
    assert of("transformer", OTHER)["wide"].sizes["patches"] == Range(1, 5 * 6 * 8, 5 * 8 * 8)


def test_a_graph_that_two_checkpoints_share_is_built_for_both() -> None:
    other = model_card(
        "other", max_sequence_length=512, defaults=TOY_CARD.defaults.model_copy(update={"width": 96, "height": 32})
    )
    vaes = [profiles(card, "vae", [default_size(card)], 4, 8, takes_adapters=False) for card in (TOY_CARD, other)]
    found = {profile.name: profile for profile in merged(*vaes)}
    assert list(found) == ["wide", "64x48x9", "96x32x9"]
    assert found["wide"].sizes["latent_height"] == Range(2, 6, 12)
    assert found["wide"].sizes["latent_width"] == Range(2, 8, 12)
    texts = [profiles(card, "text_encoder", [], 4, 8, takes_adapters=False) for card in (TOY_CARD, other)]
    (prompts,) = merged(*texts)
    assert prompts.sizes["tokens"] == Range(1, 8, 576)
    assert merged([], vaes[0]) == vaes[0]


def test_caches_are_multiples_of_the_latents() -> None:
    chunk = graph(
        ("latents", ["batch", 16, "latent_frames", "latent_height", "latent_width"]),
        ("cache", ["batch", 8, 2, "4*latent_height", "4*latent_width"]),
        ("fixed", [3]),
    )
    shapes = of("vae", OTHER, takes_adapters=False)["128x96x17"].shapes(chunk)
    assert shapes["latents"][0] == shapes["latents"][2] == [1, 16, 1, 12, 16]
    assert shapes["cache"][0] == shapes["cache"][2] == [1, 8, 2, 48, 64]
    assert "fixed" not in shapes


@pytest.mark.parametrize("size", ["unknown", "2*unknown", "latent_height/2", "s17"])
def test_a_size_that_nobody_knows_is_an_error(size: str) -> None:
    profile = Profile("p", {"latent_height": Range.only(8)}, Range.only(0))
    with pytest.raises(EngineError, match=r"the input x has a size '.*' that no profile knows"):
        profile.shapes(graph(("x", [1, size])))
