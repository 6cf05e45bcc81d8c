"""`python -m tests.frontend.http.fake_server`: the real server as a process, on a generator whose jobs hang."""

from frontend.app import create_app
from frontend.http.server import Server
from frontend.settings import Settings
from tests.frontend.fake_generator import FakeGenerator


def main() -> None:
    generator = FakeGenerator()
    generator.step_gate.clear()
    settings = Settings()
    Server(create_app(settings, generator), settings).run()


if __name__ == "__main__":
    main()
