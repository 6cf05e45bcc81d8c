"""Qwen-Image: its exported graphs, its card, and which checkpoints are of another kind."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from export import qwen_text_encoder
from export.checkpoint import open_checkpoint, read_json
from export.component import TOLERANCE
from export.defaults import read_defaults
from export.errors import CheckpointError
from export.graph import Session
from export.options import Options, Precision
from export.qwen_image import QWEN_IMAGE
from export.tokenizer import fast_tokenizer
from protocol.model_card import Components, ModelCard
from protocol.repository import OWN_REPOSITORY

from .one import export_one

PARTS = {part.component: part for part in QWEN_IMAGE.parts}
FILES = {"vae": ["bands_first.onnx", "middle_first.onnx", "whole_first.onnx"]}


@pytest.fixture(scope="module")
def repository(qwen_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, exported."""
    repository = tmp_path_factory.mktemp("qwen") / "repository"
    export_one(qwen_checkpoint, QWEN_IMAGE, repository, Options())
    return repository


@pytest.fixture
def checkpoint(qwen_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(qwen_checkpoint, tmp_path / "tiny"))


def card_of(folder: Path) -> ModelCard:
    return QWEN_IMAGE.card(open_checkpoint(folder, QWEN_IMAGE.layout), read_defaults(folder))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(read_json(path) | changes))


def config_of(checkpoint: Path, component: str) -> Path:
    return checkpoint / component / ("scheduler_config.json" if component == "scheduler" else "config.json")


@pytest.mark.parametrize("component", PARTS)
def test_graphs_compute_what_diffusers_does(component: str, repository: Path, qwen_checkpoint: Path) -> None:
    part = PARTS[component]
    version = repository / part.model / "1"
    sessions = {path.name: Session(path) for path in version.glob("*.onnx")}
    assert sorted(sessions) == FILES.get(component, ["model.onnx"])
    comparisons = list(part.compare(part.load(qwen_checkpoint / component, Precision.FLOAT32), sessions))
    assert len(comparisons) >= 4
    assert max(comparison.max_difference for comparison in comparisons) < TOLERANCE / 5


@pytest.mark.parametrize("component", PARTS)
def test_inputs_and_outputs_are_those_of_the_triton_configuration(component: str, repository: Path) -> None:
    model = PARTS[component].model
    graph = "whole_first.onnx" if component == "vae" else "model.onnx"
    session = onnxruntime.InferenceSession(repository / model / "1" / graph)
    names = [value.name for value in (*session.get_inputs(), *session.get_outputs())]
    configuration = (OWN_REPOSITORY / model / "config.pbtxt").read_text()
    declared = re.findall(r'name: "(\w+)"', configuration)
    assert [name for name in declared if name != "lora"] == names
    assert ("lora" in declared) == (component == "transformer")


def test_the_transformer_attends_without_holding_all_scores(repository: Path) -> None:
    operators = [
        node.op_type for node in onnx.load(repository / "qwen_image_transformer" / "1" / "model.onnx").graph.node
    ]
    assert operators.count("MultiHeadAttention") == 2, "one per layer"
    assert "Attention" not in operators
    assert "Softmax" not in operators


def test_the_text_encoder_has_the_language_model_s_weights_alone(repository: Path, qwen_checkpoint: Path) -> None:
    encoder: Any = qwen_text_encoder.load(qwen_checkpoint / "text_encoder")
    expected = sum(parameter.numel() for parameter in encoder.model.language_model.parameters())
    graph = onnx.load(repository / "qwen_image_text_encoder" / "1" / "model.onnx").graph
    exported = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    assert expected <= exported < 1.01 * expected, "weights, and a few constants"


def test_card_tokenizer_and_scheduler_are_beside_generate(repository: Path, qwen_checkpoint: Path) -> None:
    folder = repository / "generate" / "1" / "qwen_image"
    card = ModelCard.read(folder)
    assert card.id == "tiny-qwen-image"
    assert card.components == Components(
        text_encoder="qwen_image_text_encoder", transformer="qwen_image_transformer", vae="qwen_image_vae"
    )
    assert (folder / "tokenizer.json").read_text() == fast_tokenizer(qwen_checkpoint / "tokenizer")
    copied = "scheduler/scheduler_config.json"
    assert (folder / copied).read_bytes() == (qwen_checkpoint / copied).read_bytes()


def test_without_defaults_json_the_card_is_qwen_image_s(checkpoint: Path) -> None:
    (checkpoint / "defaults.json").unlink()
    card = card_of(checkpoint)

    assert (card.id, card.family, card.tasks, card.solvers) == (
        "qwen-image",
        "qwen_image",
        ("text-to-image",),
        ("euler",),
    )
    own = card.defaults
    assert (own.width, own.height, own.num_frames, own.num_inference_steps) == (1024, 1024, 1, 50)
    assert (own.true_cfg_scale, own.negative_prompt, own.solver) == (4.0, " ", "euler")
    assert [own.guidance_scale, own.flow_shift, own.fps] == [None, None, None]
    assert (card.limits.size_multiple, card.limits.max_frames) == (16, 1)
    assert card.limits.max_pixel_frames == 2048 * 2048
    assert (card.max_sequence_length, card.num_train_timesteps) == (1024, 1000)


def test_rotary_tables_and_latents_are_as_the_files_say(checkpoint: Path) -> None:
    card = card_of(checkpoint)
    assert card.rope is not None
    assert (card.rope.theta, card.rope.axes_dims) == (10_000, (8, 12, 12))
    config = read_json(checkpoint / "vae" / "config.json")
    latents = card.latents
    assert (latents.channels, latents.temporal_stride, latents.spatial_stride) == (16, 4, 8)
    assert list(latents.mean) == config["latents_mean"]
    assert list(latents.std) == config["latents_std"]


def test_the_greatest_side_leaves_rotary_positions_for_the_longest_prompt(checkpoint: Path) -> None:
    # half a side is 3072 packed latents, and the text goes on there for 1024 of 4096 positions
    assert card_of(checkpoint).limits.max_side == 2 * 3072 * 16


def test_defaults_json_wins(checkpoint: Path) -> None:
    own = {"id": "mine", "width": 128, "true_cfg_scale": 2.5, "negative_prompt": "blurry", "max_sequence_length": 32}
    (checkpoint / "defaults.json").write_text(json.dumps(own))
    card = card_of(checkpoint)
    assert (card.id, card.max_sequence_length) == ("mine", 32)
    defaults = card.defaults
    assert (defaults.width, defaults.height) == (128, 1024)
    assert (defaults.true_cfg_scale, defaults.negative_prompt) == (2.5, "blurry")


def test_the_text_encoder_s_configuration_may_be_of_the_older_kind(checkpoint: Path) -> None:
    path = config_of(checkpoint, "text_encoder")
    path.write_text(json.dumps(read_json(path)["text_config"]))
    assert card_of(checkpoint).id == "tiny-qwen-image"


@pytest.mark.parametrize(
    ("component", "changes", "message"),
    [
        ("transformer", {"guidance_embeds": True}, "its transformer has guidance_embeds, so it is an editing"),
        ("transformer", {"zero_cond_t": True}, "its transformer has zero_cond_t"),
        ("transformer", {"use_additional_t_cond": True}, "its transformer has use_additional_t_cond"),
        ("transformer", {"use_layer3d_rope": True}, "its transformer has use_layer3d_rope"),
        ("transformer", {"in_channels": 128}, "takes 128 channels and the VAE has 16, 64 when packed"),
        ("transformer", {"joint_attention_dim": 48}, "takes text of width 48 and the text encoder gives 32"),
        ("scheduler", {"use_dynamic_shifting": False}, "FlowMatchEulerDiscreteScheduler with use_dynamic_shifting"),
        ("scheduler", {"_class_name": "UniPCMultistepScheduler"}, "the scheduler must be a FlowMatchEuler"),
        ("scheduler", {"stochastic_sampling": True}, "do not lead from noise to data, or not each time the same way"),
        ("vae", {"latents_mean": ["zero"]}, r"mean\.0: "),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(
    component: str, changes: dict[str, object], message: str, checkpoint: Path
) -> None:
    edit(config_of(checkpoint, component), **changes)
    with pytest.raises(CheckpointError, match=message):
        card_of(checkpoint)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"fps": 16}, "has no use for a default fps"),
        ({"guidance_scale": 5.0}, "has no use for a default guidance_scale"),
        ({"width": 100}, "its default width must be a multiple of 16, got 100"),
        ({"max_sequence_length": 2000}, "max_sequence_length must be at most 1024, got 2000"),
    ],
)
def test_defaults_that_make_no_sense_are_refused(own: dict[str, object], message: str, checkpoint: Path) -> None:
    (checkpoint / "defaults.json").write_text(json.dumps(own))
    with pytest.raises(CheckpointError, match=message):
        card_of(checkpoint)
