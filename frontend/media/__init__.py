"""Images and videos as files: what comes in is checked, and decoded in processes of its own."""
