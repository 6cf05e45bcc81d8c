"""What keeps a server from starting."""


class JobsError(Exception):
    """A sentence for the person who starts the server: jobs cannot be kept as it is set."""
