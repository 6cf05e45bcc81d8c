"""A small world of coloured shapes that move: drawing it, describing it, and telling from pixels what a video shows."""
