"""What ONNX Runtime makes of the masks of graphs for GPUs."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from runtime.attention_masks import with_expanded_masks

QUERIES, KEYS, HEADS, SIZE = 3, 5, 2, 4


def save(path: Path, has_mask: bool = True) -> None:
    """Attention over 3 queries and 5 keys, its values scaled by a weight in a file beside the graph."""
    inputs: dict[str, list[int | str | None]] = {
        "q": [2, HEADS, "queries", SIZE],
        "k": [2, HEADS, "keys", SIZE],
        "v": [2, HEADS, "keys", SIZE],
    }
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    mask = helper.make_tensor_value_info("mask", TensorProto.BOOL, [2, 1, 1, "keys"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("Mul", ["v", "weight"], ["scaled"]),
        helper.make_node("Attention", ["q", "k", "scaled", *(["mask"] if has_mask else [])], ["y"]),
    ]
    weight = numpy_helper.from_array(np.full(SIZE, 2, np.float32), "weight")
    graph = helper.make_graph(nodes, "graph", [*values, *([mask] if has_mask else [])], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)


def test_a_mask_for_all_queries_at_once_is_one_for_each(tmp_path: Path) -> None:
    save(tmp_path / "model.onnx")
    before = (tmp_path / "model.onnx").read_bytes()
    generator = np.random.default_rng(0)
    feeds = {
        name: generator.standard_normal((2, HEADS, length, SIZE)).astype(np.float32)
        for name, length in (("q", QUERIES), ("k", KEYS), ("v", KEYS))
    }
    mask = np.ones((2, 1, 1, KEYS), np.bool_)
    mask[0, ..., 3:] = False
    options = ort.SessionOptions()
    options.log_severity_level = 4
    plain = ort.InferenceSession(str(tmp_path / "model.onnx"), options, providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match="q_sequence_length"):
        plain.run(None, {**feeds, "mask": mask})

    graph = with_expanded_masks(tmp_path / "model.onnx")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(tmp_path))
    (y,) = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"]).run(None, {**feeds, "mask": mask})

    q, k, v = (torch.from_numpy(array) for array in feeds.values())
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, 2 * v, attn_mask=torch.from_numpy(mask))
    np.testing.assert_allclose(y, expected.numpy(), atol=1e-6)
    assert (tmp_path / "model.onnx").read_bytes() == before


def test_a_graph_without_masks_stays_the_file(tmp_path: Path) -> None:
    save(tmp_path / "model.onnx", has_mask=False)
    assert with_expanded_masks(tmp_path / "model.onnx") is None
