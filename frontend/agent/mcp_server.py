"""The tools over the Model Context Protocol: by stdin and stdout, or streamable HTTP."""

import socket
import time
from importlib.metadata import version
from typing import Any

import anyio
import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.session import ServerSession
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ToolDescription

from frontend.agent.service import VideoGenerationService, VideoServiceError
from frontend.agent.tool import TOOLS, Tool
from frontend.schemas.video_service import VideoServiceData

LOOPBACK = "127.0.0.1"
PATH = "/mcp"
_PROGRESS_SECONDS = 5.0
"""many clients give up on a call that says nothing for a minute"""
_SHUTDOWN_SECONDS = 2
"""for answers that are under way; streams to clients have no end of their own"""


def mcp_server(service: VideoGenerationService) -> Server[Any]:
    """Offers the tools, and runs them with `service`."""

    async def list_tools(context: ServerRequestContext, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_described(tool) for tool in TOOLS.values()])

    async def call_tool(context: ServerRequestContext, params: CallToolRequestParams) -> CallToolResult:
        if params.name not in TOOLS:
            raise MCPError(INVALID_PARAMS, f"there is no such tool; there are {', '.join(TOOLS)}")
        async with anyio.create_task_group() as group:
            group.start_soon(_report_progress, context.session)
            result = await _result(service, TOOLS[params.name], params.arguments or {})
            group.cancel_scope.cancel()
        return result

    return Server("tritonreel", version=version("tritonreel"), on_list_tools=list_tools, on_call_tool=call_tool)


async def serve_stdio(service: VideoGenerationService) -> None:
    """Until stdin ends. Whatever else this process prints meanwhile goes to stderr."""
    server = mcp_server(service)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def serve_http(service: VideoGenerationService, listening: socket.socket) -> None:
    """Until a signal ends it, for programs of this machine: whoever calls it uses the service's key.

    Web pages cannot, neither by their origin nor by a name that they let resolve to this machine.

    Args:
        listening: on `LOOPBACK`.
    """
    hosts = [f"{name}:{listening.getsockname()[1]}" for name in (LOOPBACK, "localhost")]
    checks = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts])
    app = mcp_server(service).streamable_http_app(streamable_http_path=PATH, transport_security=checks)
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=_SHUTDOWN_SECONDS)
    await uvicorn.Server(config).serve([listening])


def _described(tool: Tool[Any]) -> ToolDescription:
    return ToolDescription(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.parameters(),
        output_schema=VideoServiceData.model_json_schema(mode="serialization"),
        annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True),
    )


async def _result(service: VideoGenerationService, tool: Tool[Any], arguments: dict[str, Any]) -> CallToolResult:
    try:
        made = await tool.call(service, arguments)
    except VideoServiceError as error:
        return CallToolResult(content=[TextContent(text=error.message)], is_error=True)
    text = made.model_dump_json(exclude_none=True)
    return CallToolResult(content=[TextContent(text=text)], structured_content=made.model_dump(mode="json"))


async def _report_progress(session: ServerSession) -> None:
    """Say every few seconds for how long it has been going on, to clients that ask; how much is left nobody tells."""
    started = time.monotonic()
    while True:
        await anyio.sleep(_PROGRESS_SECONDS)
        seconds = time.monotonic() - started
        await session.report_progress(seconds, message=f"The video is being made, for {seconds:.0f} s")
