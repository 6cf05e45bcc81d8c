"""The HTTP API: validates requests, runs them on Triton, and answers with encoded clips. It never imports torch."""
