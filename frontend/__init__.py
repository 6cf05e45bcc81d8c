"""The HTTP API: validates requests, runs them as jobs, and answers with videos and images. It never imports torch."""
