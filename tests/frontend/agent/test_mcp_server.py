"""`tritonreel mcp`, asked by the official client of the Model Context Protocol."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import CallToolResult, TextContent

from frontend.agent import mcp_server
from frontend.agent.service import HttpVideoService
from tests.frontend.fake_generator import FakeGenerator
from tests.waiting import SECONDS, until

MODES = ["auto", "legacy"]
"""how the client begins: as the protocol has it now, or as before 2026"""
LAUNCHER = ("-m", "launcher", "mcp")


def text_of(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def stdio_client(url: str, mode: str) -> Client:
    parameters = StdioServerParameters(command=sys.executable, args=[*LAUNCHER, "--url", url])
    return Client(parameters, mode=mode)


@pytest.fixture
def http_url(url: str) -> Iterator[str]:
    """Of an MCP server over HTTP, a process of its own."""
    command = [sys.executable, *LAUNCHER, "--url", url, "--http", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        found = re.fullmatch(r"MCP on (http://127\.0\.0\.1:\d+/mcp)\n", server.stderr.readline())
        assert found is not None
        assert server.stderr.readline() == "Stop: Ctrl-C\n"
        yield found[1]
        server.send_signal(signal.SIGINT)
        printed, logged = server.communicate(timeout=SECONDS)
        assert (server.returncode, printed) == (0, "")
        assert "Traceback" not in logged


async def check_tools(client: Client) -> None:
    """As an agent's program goes about it: list, call, make a mistake, go on."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert list(tools) == ["generate_video", "extend_video"]
    for tool in tools.values():
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        assert tool.description
    made = await client.call_tool("generate_video", {"prompt": "a fox", "duration_seconds": 2})
    assert not made.is_error, text_of(made)
    video = json.loads(text_of(made))
    assert video["video_url"].startswith("http://127.0.0.1:")
    assert made.structured_content["video_url"] == video["video_url"]
    async with httpx.AsyncClient() as anyone:
        assert (await anyone.get(video["video_url"])).content[4:8] == b"ftyp"

    wrong = await client.call_tool("generate_video", {"prompt": "a fox", "seed": -1})
    assert (wrong.is_error, text_of(wrong)) == (True, "seed must be at least 0, got -1")
    refused = await client.call_tool("generate_video", {"prompt": "a fox", "model": "kling"})
    assert refused.is_error
    assert "KLINGAI_ACCESS_KEY" in text_of(refused)
    with pytest.raises(MCPError, match="there is no such tool; there are generate_video, extend_video"):
        await client.call_tool("make_video", {})

    longer = await client.call_tool("extend_video", {"prompt": "it jumps", "video_id": video["video_id"]})
    assert json.loads(text_of(longer))["source_video_id"] == video["video_id"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_over_stdio(url: str, mode: str) -> None:
    async with stdio_client(url, mode) as client:
        assert client.server_info is not None
        assert client.server_info.name == "tritonreel"
        await check_tools(client)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_over_http(http_url: str, mode: str) -> None:
    async with Client(http_url, mode=mode) as client:
        await check_tools(client)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_stops_its_video(url: str, http_url: str, generator: FakeGenerator, mode: str) -> None:
    generator.step_gate.clear()
    for client in (stdio_client(url, mode), Client(http_url, mode=mode)):
        async with client:
            call = asyncio.create_task(client.call_tool("generate_video", {"prompt": "a fox"}))
            await until(lambda: len(generator.jobs) > len(generator.cancelled))
            call.cancel()
            await until(lambda: len(generator.jobs) == len(generator.cancelled))
    assert len(generator.cancelled) == 2


@pytest.mark.slow
async def test_web_pages_cannot_call_it(http_url: str) -> None:
    port = http_url.split(":")[2].removesuffix("/mcp")
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"Accept": "application/json, text/event-stream"}
    async with httpx.AsyncClient(headers=headers) as page:
        for host, origin, status in (
            (f"evil.example.com:{port}", None, 421),
            (f"127.0.0.1:{port}", "https://evil.example.com", 403),
            (f"127.0.0.1:{port}", "http://127.0.0.1:1", 403),
        ):
            for version in ("2025-06-18", "2026-07-28"):
                sent = {"Host": host, "MCP-Protocol-Version": version} | ({"Origin": origin} if origin else {})
                assert (await page.post(http_url, json=call, headers=sent)).status_code == status


@pytest.mark.slow
def test_stdout_is_the_protocols_and_its_end_ends_the_server() -> None:
    """Whatever goes wrong: the server is not there, and the client writes nonsense."""
    call = {"name": "generate_video", "arguments": {"prompt": "a fox"}}
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        "nonsense",
        json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}),
    ]
    with subprocess.Popen(
        [sys.executable, *LAUNCHER, "--url", "http://127.0.0.1:9"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write("".join(f"{line}\n" for line in lines))
        server.stdin.flush()
        answers: dict[int, dict[str, Any]] = {}
        while 2 not in answers:
            answer = json.loads(server.stdout.readline())
            answers[answer.get("id")] = answer
        server.stdin.close()
        assert server.stdout.read() == ""
        assert server.wait(SECONDS) == 0
    assert answers[1]["result"]["serverInfo"]["name"] == "tritonreel"
    result = answers[2]["result"]
    assert result["isError"]
    assert result["content"][0]["text"].startswith("no server answers at http://127.0.0.1:9:")


async def test_progress_is_said_while_a_video_is_made(
    url: str, generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_server, "_PROGRESS_SECONDS", 0.05)
    generator.step_gate.clear()
    said: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        said.append((progress, total, message))
        if len(said) == 3:
            generator.step_gate.set()

    async with HttpVideoService(url) as service, Client(mcp_server.mcp_server(service)) as client:
        result = await client.call_tool("generate_video", {"prompt": "a fox"}, progress_callback=hear)
    assert not result.is_error
    assert len(said) >= 3
    seconds = [progress for progress, *_ in said]
    assert seconds == sorted(set(seconds))
    assert said[0][1:] == (None, "The video is being made, for 0 s")


@pytest.mark.slow
def test_what_keeps_it_from_starting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, sentence in (
            (("--http", str(port)), f"the MCP server cannot start: port {port}: Address already in use"),
            (("--url", "localhost"), "the MCP server cannot start: the server's URL must be like http:"),
        ):
            command = [sys.executable, *LAUNCHER, *arguments]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            assert (ended.returncode, ended.stdout) == (1, "")
            assert ended.stderr.startswith(sentence)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        (("mcp",), "the MCP server cannot start: pip install 'tritonreel[mcp]' ("),
        (
            ("torch", "diffusers", "pytriton", "onnxruntime", "tokenizers", "safetensors", "ftfy"),
            "the MCP server cannot start: the server's URL must be like",
        ),
    ],
    ids=["without the library", "without what serving needs"],
)
def test_it_needs_its_library_and_none_of_those_that_serve(missing: tuple[str, ...], sentence: str) -> None:
    script = (
        f"import sys; sys.modules |= dict.fromkeys({missing})\n"
        "from launcher.__main__ import app\n"
        "assert not {'mcp.server', 'frontend.agent'} & sys.modules.keys()\n"
        "app(['mcp', '--url', 'localhost'])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(sentence)
