"""Engines that run exported graphs: ONNX Runtime, on the CPU or on a GPU."""
