"""`/video/generate` and `/video/extend`: a request's job, whoever makes the video, and its answer."""
