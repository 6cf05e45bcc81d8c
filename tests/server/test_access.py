"""A server that asks for keys, as a person starts it."""

from pathlib import Path

import httpx

from frontend.http.api_keys import KeyFile
from tests.conftest import Exported
from tests.server.running_server import RunningServer


def test_a_server_with_keys(toy: Exported, tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    key = file.add("laptop")
    options = ("--host", "0.0.0.0", "--keys-file", str(file.path), "--allowed-host", "studio.example")
    with RunningServer(toy.repository, tmp_path / "run", *options) as server:
        assert server.post(prompt="x").status_code == 401
        made = server.post({"Authorization": f"Bearer {key}", "Host": "studio.example"}, prompt="a red circle")
        assert made.status_code == 200, made.text
        assert httpx.get(f"{server.url}/health", headers={"Host": "evil.example"}).status_code == 421
        console = (server.run_dir / "launcher.out").read_text()
    log = server.frontend_log()
    assert "an API key is asked for, one of: laptop" in console
    assert '-H "Authorization: Bearer $TRITONREEL_API_KEY"' in console
    assert "key=laptop" in log
    assert key not in console + log
