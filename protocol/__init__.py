"""What the frontend, `generate` and the exporter say to each other. Imports nothing of ours."""
