"""`python -m frontend`: serve HTTP alone, for a Triton server that something else runs."""

from contextlib import suppress

from frontend.app import create_app
from frontend.http.server import Server
from frontend.settings import Settings


def main() -> None:
    settings = Settings()
    server = Server(create_app(settings), settings)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(3)


if __name__ == "__main__":
    main()
