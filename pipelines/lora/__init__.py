"""Low-rank adapters (LoRA): their files, what they fit, and how they are applied."""
