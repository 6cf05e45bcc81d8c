"""`python -m tests.frontend.http.fake_server`: the real server as a process, on an engine whose jobs hang."""

from frontend.app import create_app
from frontend.http.server import Server
from frontend.settings import Settings
from tests.frontend.fake_engine import FakeEngine


def main() -> None:
    engine = FakeEngine()
    engine.step_gate.clear()
    settings = Settings()
    Server(create_app(settings, engine), settings).run()


if __name__ == "__main__":
    main()
