"""Errors of jobs that no client sees as they are."""


class JobsError(Exception):
    """A sentence for the person who starts the server: jobs cannot be kept as it is set."""


class KeyTaken(Exception):
    """Another job has the same `idempotency`: it is the one to be answered with."""
