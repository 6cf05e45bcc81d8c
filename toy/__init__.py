"""A drawn world, and the checkpoints that are trained in it from nothing. Nothing that serves imports it."""
