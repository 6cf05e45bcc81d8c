"""Engines that run exported graphs: ONNX Runtime, on the CPU or a GPU, and TensorRT."""
