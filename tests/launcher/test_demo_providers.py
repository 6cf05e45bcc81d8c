"""`tritonreel demo-providers`, as a newcomer tries it."""

import asyncio
import re
import signal
import socket
import subprocess
import sys

from frontend.providers.entry import GeneratedVideo, ai_video_generate
from frontend.providers.registry import OFFERS, Registry
from tests.ports import free_port
from tests.waiting import SECONDS


async def video_of(provider: str, environment: dict[str, str]) -> GeneratedVideo:
    async with Registry(environment) as registry:
        return await ai_video_generate("a fox", provider=provider, poll_seconds=0.05, registry=registry)


def test_a_video_of_each_provider_without_an_account() -> None:
    command = [sys.executable, "-m", "launcher", "demo-providers", "--port", str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        printed = ""
        while "Stop:" not in printed:
            line = server.stdout.readline()
            assert line, printed
            printed += line
        environment = dict(re.findall(r"^export (\w+)=(\S+)$", printed, re.MULTILINE))
        offers = Registry(environment).configured()
        assert {offer.name for offer in offers} == {offer.name for offer in OFFERS}
        for offer in offers:
            made = asyncio.run(video_of(offer.name, environment))
            assert made["video_bytes"][4:8] == b"ftyp"
            assert made["provider"] == offer.name
        server.send_signal(signal.SIGINT)
        assert server.wait(SECONDS) == 0


def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-m", "launcher", "demo-providers", "--port", str(taken.getsockname()[1])]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("the demonstration servers cannot start: port")
