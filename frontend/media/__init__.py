"""Images and videos as files: what comes in is checked, what goes out is encoded."""
