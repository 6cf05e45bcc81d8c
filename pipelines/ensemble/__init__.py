"""The ensemble: what the Triton model `generate` is made of."""
