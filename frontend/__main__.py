"""`python -m frontend`: serve HTTP alone, for a Triton server that something else runs."""

import uvicorn

from frontend.app import create_app
from frontend.settings import Settings


def main() -> None:
    settings = Settings()
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
    )


if __name__ == "__main__":
    main()
