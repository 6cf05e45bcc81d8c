"""`python -m frontend`: serve HTTP alone, for a Triton server that something else runs."""

import argparse
import sys
from contextlib import suppress

from pydantic import ValidationError

from frontend.app import create_app
from frontend.errors import StorageError
from frontend.http.access import AccessError
from frontend.http.server import Server
from frontend.jobs.errors import JobsError
from frontend.settings import Settings
from frontend.storage.location import LocationError


def main() -> None:
    prefix = Settings.model_config["env_prefix"]
    parser = argparse.ArgumentParser(
        prog="python -m frontend",
        description="Serve the HTTP API in front of Triton servers that something else runs. "
        f"Settings come from the environment: {prefix}PORT, {prefix}TRITON_URL and others, see frontend/settings.py.",
    )
    parser.add_argument(
        "--triton-url", metavar="HOST:PORT,...", help=f"gRPC of each Triton server, in place of {prefix}TRITON_URL"
    )
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        parser.error("; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors(include_input=False)))
    try:
        app = create_app(settings)
    except (AccessError, JobsError, LocationError, StorageError) as error:
        sys.exit(str(error))
    server = Server(app, settings)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(3)


if __name__ == "__main__":
    main()
