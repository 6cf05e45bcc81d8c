"""What can stop a benchmark.

BenchmarkError
├── NotReady      something that the benchmark needs is missing; the message says how to get it
├── ServerFailed  the server did not start, or answered with an error
└── WorkerFailed  a process that the benchmark started (diffusers, perf_analyzer, ...) failed
"""


class BenchmarkError(Exception):
    """Base of every error that a person who runs the benchmark may see."""


class NotReady(BenchmarkError):
    pass


class ServerFailed(BenchmarkError):
    pass


class WorkerFailed(BenchmarkError):
    pass
