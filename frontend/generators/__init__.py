"""What makes videos and images; one file per way to have them made."""
