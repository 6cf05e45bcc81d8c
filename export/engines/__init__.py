"""ONNX graphs for GPUs -> TensorRT engines: `python -m export.engines`."""
