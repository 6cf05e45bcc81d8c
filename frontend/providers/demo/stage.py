"""All demonstration servers together, and what points this server's providers at them."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from frontend.providers.demo import klingai, sora, veo, wavespeed
from frontend.providers.demo.jobs import DemoJobs
from frontend.providers.demo.server import serving


@dataclass(frozen=True)
class DemoProvider:
    """A server that speaks one provider's protocol."""

    name: str
    make_app: Callable[[DemoJobs], FastAPI]
    variables: tuple[str, ...]
    """what the parts of its key, which have colons between them, are called in the environment"""
    url_variable: str
    path: str = ""
    """of the API on the server"""


DEMO_PROVIDERS = (
    DemoProvider("wavespeed", wavespeed.make_app, ("WAVESPEED_API_KEY",), "WAVESPEED_BASE_URL"),
    DemoProvider("gemini", veo.make_app, ("GEMINI_API_KEY",), "GOOGLE_GEMINI_BASE_URL"),
    DemoProvider("openai", sora.make_app, ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "/v1"),
    DemoProvider("klingai", klingai.make_app, ("KLINGAI_ACCESS_KEY", "KLINGAI_SECRET_KEY"), "KLINGAI_BASE_URL"),
)


@dataclass(frozen=True)
class Stage:
    """Demonstration servers that run."""

    environment: dict[str, str]
    """in which the providers are these servers"""
    jobs: dict[str, DemoJobs]
    """by the provider's name"""


@contextmanager
def on_stage(polls: int = 5, first_port: int = 0) -> Iterator[Stage]:
    """All of them, as long as they run.

    Args:
        polls: until a job is done.
        first_port: of the first server, the others follow; free ones if 0.
    """
    stage = Stage({}, {})
    with ExitStack() as stack:
        for number, provider in enumerate(DEMO_PROVIDERS):
            keys = {name: f"demo-{secrets.token_hex(16)}" for name in provider.variables}
            jobs = stage.jobs[provider.name] = DemoJobs(key=":".join(keys.values()))
            jobs.polls = polls
            port = first_port + number if first_port else 0
            url = stack.enter_context(serving(provider.make_app(jobs), port))
            stage.environment.update(keys, **{provider.url_variable: url + provider.path})
        yield stage
