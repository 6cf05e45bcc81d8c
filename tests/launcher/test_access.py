"""What the launcher refuses, before it starts anything."""

from collections.abc import Callable
from pathlib import Path

import pytest

from launcher.access import decide, hosts_of, origins_of, servers_of
from launcher.errors import SetupError
from launcher.settings import Settings
from tests.launcher.conftest import Launched


def test_open_to_the_network_it_needs_a_key_or_a_word(tmp_path: Path) -> None:
    settings = Settings(run_dir=tmp_path, host="0.0.0.0", keys_file=tmp_path / "keys.json")
    with pytest.raises(SetupError, match=r"0\.0\.0\.0 can be reached from the network, and there is no API key"):
        decide(settings)


def test_a_key_of_the_environment_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONREEL_API_KEY", "a-key-for-a-container")
    assert decide(Settings(run_dir=tmp_path, host="0.0.0.0", keys_file=tmp_path / "keys.json")).asks_for_keys


def test_wrong_names_are_told_by_their_option() -> None:
    assert hosts_of(None) == origins_of(None) == ()
    assert hosts_of(["Video.example.com", "10.0.0.7,10.0.0.8"]) == ("video.example.com", "10.0.0.7", "10.0.0.8")
    with pytest.raises(SetupError, match=r"--allowed-host: '\*' is not a host name"):
        hosts_of(["*"])
    with pytest.raises(SetupError, match=r"--allowed-origin: 'app\.example\.com' is not an origin"):
        origins_of(["app.example.com"])
    assert servers_of(None) == ()
    assert servers_of(["gpu-2:8001,gpu-3:8001", "10.0.0.7:9001"]) == ("gpu-2:8001", "gpu-3:8001", "10.0.0.7:9001")
    with pytest.raises(SetupError, match="--other-triton: 'gpu-2' is not the address of a server"):
        servers_of(["gpu-2"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--host", "0.0.0.0"), "`tritonreel keys add NAME`"),
        (("--keys-file", "/"), "is not a regular file"),
        (("--allowed-host", "a:80"), "--allowed-host: 'a:80' is not"),
        (("--allowed-origin", "*"), "--allowed-origin: '*' is not"),
    ],
)
def test_it_says_so_in_a_sentence(
    launch: Callable[..., Launched], repository: Path, options: tuple[str, ...], sentence: str
) -> None:
    launched = launch(repository, *options)
    assert launched.wait_for_exit() == 1
    assert sentence in launched.output
    assert "Traceback" not in launched.output
    assert "tritonserver is up" not in launched.output


def test_triton_alone_needs_no_key(launch: Callable[..., Launched], repository: Path) -> None:
    launched = launch(repository, "--no-frontend", "--host", "0.0.0.0")
    launched.wait_for("ready in")


def test_tritonserver_does_not_get_the_keys(launch: Callable[..., Launched], repository: Path) -> None:
    keys = dict.fromkeys(("TRITONREEL_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "a-key-for-a-container")
    launched = launch(repository, "--no-frontend", env=keys)
    launched.wait_for("ready in")
    for process in launched.descendants():
        assert not keys.keys() & process.environ().keys()
