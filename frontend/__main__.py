"""`python -m frontend`: serve HTTP alone, for a Triton server that something else runs."""

import sys

import uvicorn

from frontend.app import create_app
from frontend.http.access import AccessError
from frontend.settings import Settings


def main() -> None:
    settings = Settings()
    try:
        app = create_app(settings)
    except AccessError as error:
        sys.exit(str(error))
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
    )


if __name__ == "__main__":
    main()
