"""OpenTelemetry traces of the frontend and of `generate`; imports nothing of ours."""
