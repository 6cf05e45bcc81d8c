"""Half precision: as near to float32 as torch's own, by name in what is written, and never mixed with another."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.checkpoint import Checkpoint
from export.defaults import OwnDefaults
from export.errors import ParityError, RepositoryError
from export.options import DEFAULT_PRECISION, Form, Options, Precision, Target
from export.precision import SignalToNoise, WideConvolutions
from export.source import exporter_fingerprint, read_source
from export.umt5 import graphs
from export.umt5 import load as load_umt5
from export.wan_t2v import WAN_T2V
from protocol.model_card import ModelCard

from .one import export_one, of_text_encoder

PARTS = {part.component: part for part in WAN_T2V.parts}


def test_decibels() -> None:
    measured = SignalToNoise()
    measured.add(np.full(4, 1.1, np.float32), np.full(4, 1.0, np.float32))
    assert measured.decibels == pytest.approx(20, abs=1e-3)
    measured.add(np.full(4, 1.0, np.float32), np.full(4, 1.0, np.float32))
    assert measured.decibels == pytest.approx(23.01, abs=1e-2)
    measured.add(np.full(1, np.nan, np.float32), np.ones(1, np.float32))
    assert math.isnan(measured.decibels)
    assert SignalToNoise().decibels == math.inf


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", [torch.nn.Conv2d, torch.nn.Conv3d])
def test_wide_convolutions_round_as_torch_does_in_half_precision(
    kind: type[torch.nn.Conv2d | torch.nn.Conv3d], precision: torch.dtype
) -> None:
    torch.manual_seed(1)
    layer = kind(8, 8, 3, padding=1).to(precision)
    inputs = torch.randn(2, 8, *[6] * (2 if kind is torch.nn.Conv2d else 3)).to(precision)
    with torch.no_grad():
        expected = layer(inputs)
        with WideConvolutions():
            wide, linear = layer(inputs), torch.nn.functional.linear(inputs, inputs[0, 0, 0])
        exact = layer.float()(inputs.float())
    assert (wide.dtype, linear.dtype) == (precision, precision)
    assert torch.equal(wide, exact.to(precision))
    rounding = torch.finfo(precision).eps * expected.float().abs().max()
    assert (wide.float() - expected.float()).abs().max() <= rounding
    assert (wide == expected).float().mean() > 0.98  # sums in another order round otherwise now and then


@pytest.mark.parametrize("target", list(Target))
def test_the_precision_is_the_target_s_unless_said(target: Target) -> None:
    assert DEFAULT_PRECISION[target].is_half == (target is Target.ONNX)


def test_graphs_of_another_precision_are_others() -> None:
    fingerprints = {exporter_fingerprint(Options(precision=precision)) for precision in Precision}
    assert len(fingerprints) == len(Precision)


def test_only_a_vae_s_graphs_are_others_in_another_precision_of_the_vae() -> None:
    half = Options(Target.ONNX, Precision.BFLOAT16)
    mixed = dataclasses.replace(half, vae_precision=Precision.FLOAT32)
    same = dataclasses.replace(half, vae_precision=Precision.BFLOAT16)

    def fingerprints(options: Options) -> dict[str, str]:
        of_parts = {
            name: exporter_fingerprint(options, part.modules, options.form(part)) for name, part in PARTS.items()
        }
        return {"checkpoint": exporter_fingerprint(options), **of_parts}

    assert fingerprints(same) == fingerprints(half)
    differing = {name for name, found in fingerprints(mixed).items() if found != fingerprints(half)[name]}
    assert differing == {"checkpoint", "vae"}
    assert mixed.form(PARTS["vae"]) == Form(Precision.FLOAT32, is_for_gpu=True)
    on_cpu = Options(precision=Precision.BFLOAT16, vae_precision=Precision.FLOAT32)
    assert on_cpu.form(PARTS["vae"]) == Form(Precision.FLOAT32, is_for_gpu=False)
    assert on_cpu.form(PARTS["transformer"]) == Form(Precision.BFLOAT16, is_for_gpu=True)


def test_a_vae_in_float32_beside_the_rest_in_half(tiny_checkpoint: Path, tmp_path: Path) -> None:
    family = dataclasses.replace(of_text_encoder(tiny_checkpoint), parts=(PARTS["vae"],))
    half = Options(Target.ONNX, Precision.BFLOAT16)
    mixed = dataclasses.replace(half, vae_precision=Precision.FLOAT32)

    (made,) = export_one(tiny_checkpoint, family, tmp_path, mixed)

    assert (made.source.precision, made.source.signal_to_noise) == (Precision.FLOAT32, None)
    assert made.source.max_difference < 1e-4
    card = ModelCard.read(tmp_path / "generate" / "1" / "wan_t2v")
    assert (card.precision, card.vae_precision) == ("bfloat16", "float32")
    graph = onnx.load(tmp_path / "wan_vae" / "1" / "whole_next.onnx").graph
    assert {value.type.tensor_type.elem_type for value in graph.input} == {onnx.TensorProto.FLOAT}
    assert "Attention" in {node.op_type for node in graph.node}  # as GPUs' libraries read it

    def card_of_other_family(checkpoint: Checkpoint, own: OwnDefaults) -> ModelCard:
        return family.card(checkpoint, own).model_copy(update={"family": "wan_i2v", "id": "second"})

    other = dataclasses.replace(family, name="wan_i2v", card=card_of_other_family)
    message = r"which is in float32 for onnx; export second with --vae-precision float32 --target onnx too"
    with pytest.raises(RepositoryError, match=message):
        export_one(tiny_checkpoint, other, tmp_path, half)


def test_umt5_is_bfloat16_where_float16_is_asked(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Its values do not fit float16."""
    (made,) = export_one(
        tiny_checkpoint, of_text_encoder(tiny_checkpoint), tmp_path, Options(Target.ONNX, Precision.FLOAT16)
    )
    assert made.source.precision is Precision.BFLOAT16
    assert made.source.signal_to_noise is not None
    assert made.source.signal_to_noise > 30
    card = ModelCard.read(tmp_path / "generate" / "1" / "wan_t2v")
    assert card.precision == "float16"
    graph = onnx.load(tmp_path / "wan_text_encoder" / "1" / "model.onnx").graph
    assert {value.type.tensor_type.elem_type for value in graph.output} == {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.BFLOAT16 in {weight.data_type for weight in graph.initializer}
    assert read_source(tmp_path / "wan_text_encoder" / "1") == made.source


def test_a_graph_further_from_float32_than_torch_s_own_half_precision_fails(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    worse = load_umt5(tiny_checkpoint / "text_encoder", Precision.BFLOAT16)
    for parameter in worse.parameters():
        parameter.data += 0.02 * parameter.data.abs().mean() * torch.randn_like(parameter)
    family = of_text_encoder(tiny_checkpoint, graphs=lambda module, form: graphs(worse, form))
    message = r"wan_text_encoder is \d+\.\d dB from UMT5EncoderModel in float32; the class itself in this precision is"
    with pytest.raises(ParityError, match=message):
        export_one(tiny_checkpoint, family, tmp_path, Options(Target.ONNX, Precision.BFLOAT16))


def test_families_do_not_share_a_component_in_another_precision(tiny_checkpoint: Path, tmp_path: Path) -> None:
    family = of_text_encoder(tiny_checkpoint)

    def card_of_other_family(checkpoint: Checkpoint, own: OwnDefaults) -> ModelCard:
        return family.card(checkpoint, own).model_copy(update={"family": "wan_i2v", "id": "second"})

    export_one(tiny_checkpoint, family, tmp_path, Options())
    other = dataclasses.replace(family, name="wan_i2v", card=card_of_other_family)
    message = r"runs on the wan_text_encoder in .*, which is in float32 for onnxruntime; export second with --precision"
    with pytest.raises(RepositoryError, match=message):
        export_one(tiny_checkpoint, other, tmp_path, Options(precision=Precision.BFLOAT16))


def test_sizes_of_a_vae_s_inputs_say_how_they_hang_together(tiny_checkpoint: Path) -> None:
    """TensorRT's profiles are computed from these."""
    part = PARTS["vae"]
    vae = part.load(tiny_checkpoint / "vae", Precision.BFLOAT16)
    built = {graph.file: graph for graph in part.graphs(vae, Form(Precision.BFLOAT16, is_for_gpu=True))}
    model = built["whole_next.onnx"].build()  # type: ignore[union-attr]
    source, *caches = model.graph.inputs
    assert [str(size) for size in source.shape or ()] == [
        "batch", "16", "latent_frames", "latent_height", "latent_width"
    ]  # fmt: skip
    sizes = {tuple(str(size) for size in (cache.shape or ())[2:]) for cache in caches}
    assert {("2", f"{n}latent_height", f"{n}latent_width") for n in ("", "2*", "4*", "8*")} == sizes
    assert {str(cache.dtype) for cache in caches} == {"BFLOAT16"}
    assert (str(source.dtype), str(model.graph.outputs[0].dtype)) == ("FLOAT", "FLOAT")


def test_source_json_of_an_earlier_release_can_be_read(tmp_path: Path) -> None:
    made = {"component": "a", "exporter": "b", "files": {}, "parameters": 1, "max_difference": 0, "adapter_targets": {}}
    (tmp_path / "source.json").write_text(json.dumps(made))
    source = read_source(tmp_path)
    assert source is not None
    assert (source.target, source.precision, source.signal_to_noise) == (Target.ONNXRUNTIME, Precision.FLOAT32, None)
