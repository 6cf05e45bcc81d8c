"""Triton loads this file. The code is `pipelines.ensemble`, of the installed release."""

from pipelines.ensemble.model import TritonPythonModel as TritonPythonModel
