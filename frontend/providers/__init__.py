"""Hosted providers of videos: what each offers, what it costs, and how a video is asked for and fetched."""
