"""Sampling code of every model family. It knows neither Triton nor HTTP, so that it also runs in one process."""
