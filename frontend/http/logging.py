"""Structured logs on standard error: one line an event, readable or JSON, with the ids of its request and trace."""

import logging
import textwrap
import traceback
from typing import Literal, TextIO

import structlog
from structlog.types import EventDict, ExcInfo, Processor, WrappedLogger

from frontend.http.request_id import current_request_id
from protocol.printable import printable
from tracing.spans import trace_id

_LONGEST_LINE = 4_000
"""characters"""


def configure_logging(level: str, style: Literal["console", "json"]) -> None:
    """Send structlog's and the standard library's (uvicorn's) records through one formatter.

    `RequestLogMiddleware` writes a line a request, so uvicorn's own is turned off.
    """
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_ids,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if style == "json":
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=_indented_traceback)
        last += [_event_on_one_line, console, _printable_lines]
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = name != "uvicorn.access"
    # These tell every request that they make, those of /metrics too.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _event_on_one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {**event, "event": printable(str(event.get("event", "")))}


def _printable_lines(_: WrappedLogger, __: str, rendered: EventDict) -> str:
    """What the renderer before it made, a text though its type does not say so.

    The terminal that shows a log must not obey what a client wrote into a path or an error."""
    return "\n".join(printable(line, _LONGEST_LINE) for line in str(rendered).split("\n"))


def _indented_traceback(file: TextIO, exc_info: ExcInfo) -> None:
    """Indented, so that no message of an exception looks like a line of its own."""
    text = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    file.write("\n" + textwrap.indent(text, "  ", lambda line: True))


def _add_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if request_id := current_request_id():
        event["request_id"] = request_id
    if of_trace := trace_id():
        event["trace_id"] = of_trace
    return event
