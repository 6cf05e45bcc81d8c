"""Shapes come from configurations alone, and are those of the published weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from export.errors import CheckpointError
from export.options import Precision
from export.plan.checkpoint_shapes import read_shapes
from export.plan.meta import check_weights, count, meta_module
from export.plan.shapes import Shapes, Size
from export.quiet import quiet_libraries
from tests.conftest import ROOT

from .published import CHECKPOINTS

ReadShapes = Callable[[str], Shapes]
UMT5_XXL = 5_680_910_336

PARAMETERS = {
    "Wan2.2-T2V-A14B": (UMT5_XXL, 14_288_491_584, 126_892_531),
    "Wan2.2-I2V-A14B": (UMT5_XXL, 14_288_901_184, 126_892_531),
    "Wan2.2-TI2V-5B": (UMT5_XXL, 4_999_787_712, 704_688_668),
    # Qwen2.5-VL without its head and vision tower, of 8.29 B
    "Qwen-Image": (7_070_619_136, 20_430_401_088, 126_892_531),
}
"""text encoder, each transformer, VAE"""


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(shapes: ReadShapes, configurations: Callable[[str], Path], name: str) -> None:
    text_encoder, transformer, vae = PARAMETERS[name]
    read = shapes(name)
    assert read.text_encoder.weights.parameters == text_encoder
    assert {each.weights.parameters for each in read.transformers} == {transformer}
    assert len(read.transformers) == (2 if "A14B" in name else 1)
    class_name = CHECKPOINTS[name][0]["vae"][1]
    assert count(meta_module(class_name, configurations(name) / "vae")) == vae


def test_a_count_by_hand(shapes: ReadShapes) -> None:
    """Of a block of Wan's transformer: attention to itself and to the text, feed-forward, norms and modulations."""
    width, feed_forward, layers = 5120, 13824, 40
    attention = 4 * width * (width + 1) + 2 * width
    block = 2 * attention + 2 * width * feed_forward + feed_forward + width + 2 * width + 6 * width
    weights = shapes("Wan2.2-T2V-A14B").transformers[0].weights
    assert (weights.largest_layer, weights.layers) == (block, layers)
    # the norms' and modulations' values of each block, the last modulation, and the embedder of timesteps
    islands = layers * (2 * width + 6 * width) + 2 * width + 256 * width + width + width * (width + 1)
    assert weights.islands == islands
    assert weights.bytes(Precision.BFLOAT16) == 2 * weights.parameters + 2 * islands
    assert weights.bytes(Precision.FLOAT32) == 4 * weights.parameters


def test_bytes_of_the_vae(shapes: ReadShapes) -> None:
    """Known from exports and engines of the real layouts: caches of 8.7 GB, and half of that, at 720p."""
    decoder = shapes("Wan2.2-T2V-A14B").decoder
    assert decoder.cache_bytes(90, 160, 21, Precision.FLOAT32) == pytest.approx(8.7e9, rel=0.01)
    assert decoder.cache_bytes(90, 160, 21, Precision.BFLOAT16) == pytest.approx(4.36e9, rel=0.01)
    assert decoder.cache_bytes(90, 160, 1, Precision.BFLOAT16) == 0
    assert decoder.weight_bytes(Precision.BFLOAT16) == pytest.approx((101.2e6 + 293.2e6) / 2, rel=0.01)
    whole, bands = (take(90, 160, 21, Precision.BFLOAT16) for take in (decoder.whole_bytes, decoder.band_bytes))
    assert bands < 0.6 * whole
    # one image of 2048x2048: 65,536 latent pixels attend to each other without a fused kernel
    image = shapes("Qwen-Image").decoder
    assert image.whole_bytes(256, 256, 1, Precision.BFLOAT16) > 2 * 2 * 65_536**2


def test_tokens(shapes: ReadShapes) -> None:
    assert shapes("Wan2.2-T2V-A14B").geometry.tokens(Size(832, 480, 81)) == 21 * 30 * 52
    assert shapes("Wan2.2-TI2V-5B").geometry.tokens(Size(1280, 704, 121)) == 31 * 22 * 40
    assert shapes("Qwen-Image").geometry.tokens(Size(1024, 1024)) == 64 * 64


TOYS = sorted(path.parent for path in (ROOT / "toy" / "checkpoints").glob("*/model_index.json"))


@pytest.mark.parametrize("checkpoint", TOYS, ids=lambda path: str(path.name))
def test_the_weights_that_are_there_are_those_of_the_configuration(checkpoint: Path) -> None:
    quiet_libraries()
    index = json.loads((checkpoint / "model_index.json").read_text())
    for component in ("text_encoder", "transformer", "transformer_2", "vae"):
        if index.get(component, [None, None])[1]:
            assert check_weights(meta_module(index[component][1], checkpoint / component), checkpoint / component)


def test_sharded_weights_are_counted_too(tmp_path: Path) -> None:
    from transformers import UMT5EncoderModel

    text_encoder = TOYS[-1] / "text_encoder"
    UMT5EncoderModel.from_pretrained(text_encoder).save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    module = meta_module("UMT5EncoderModel", tmp_path)
    assert check_weights(module, tmp_path)
    next(tmp_path.glob("model-00001*")).unlink()
    assert not check_weights(module, tmp_path)  # a download that is under way


def _other_width(folder: Path) -> None:
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ffn_dim": 640}))


def _cut(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (_other_width, r"transformer: the weights have [\d,]+ parameters and config.json describes [\d,]+"),
        (_cut, "vae/diffusion_pytorch_model.safetensors is damaged"),
        (lambda folder: (folder / "vae" / "config.json").write_text("[]"), "is not a JSON object"),
        (lambda folder: (folder / "vae" / "config.json").unlink(), "vae/config.json is missing"),
        (lambda folder: (folder / "text_encoder" / "config.json").write_text("{}"), "incomplete or damaged"),
        (lambda folder: (folder / "model_index.json").unlink(), "is not a diffusers checkpoint"),
        (lambda folder: shutil.rmtree(folder), "is not a folder"),
    ],
)
def test_what_is_no_checkpoint_is_refused(break_it: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    checkpoint = Path(shutil.copytree(ROOT / "toy" / "checkpoints" / "toy-wan-t2v", tmp_path / "toy"))
    break_it(checkpoint)
    with pytest.raises(CheckpointError, match=message):
        read_shapes(checkpoint)


def test_components_of_different_models_are_refused(configurations: Callable[[str], Path]) -> None:
    checkpoint = configurations("Wan2.2-T2V-A14B")
    config = checkpoint / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"in_channels": 36}))
    with pytest.raises(CheckpointError, match="transformer has 36 channels in"):
        read_shapes(checkpoint)


def test_own_defaults_count(tmp_path: Path) -> None:
    read = read_shapes(ROOT / "toy" / "checkpoints" / "toy-wan-t2v")
    assert (read.id, read.geometry.default) == ("toy-wan-t2v", Size(64, 64, 9))
    assert read.geometry.largest == read.geometry.default
