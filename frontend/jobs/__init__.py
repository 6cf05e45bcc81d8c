"""Jobs: what a request comes to, from its submission to its result."""
