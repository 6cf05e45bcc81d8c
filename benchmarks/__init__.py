"""Measures the served product against diffusers' own pipeline on this machine: `python -m benchmarks`."""
