"""Train the toy checkpoints from nothing: autoencoder, text encoder and transformers, in diffusers layout."""
