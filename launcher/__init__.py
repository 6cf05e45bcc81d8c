"""Starts the real tritonserver and the HTTP frontend on one machine, and keeps them running."""
