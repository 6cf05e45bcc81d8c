"""Reads request bodies, for routes that take more than one kind. (FastAPI itself reads those of the others.)"""

import json
import re
from collections.abc import Container
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from frontend.errors import ClientDisconnected, InvalidMultipart

Model = TypeVar("Model", bound=BaseModel)

_MOST_FILES = 4
_MOST_FIELDS = 200
_NAME = re.compile(r"[^\[\]]+(\[[^\[\]]*\])*")
_KEY = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")


async def read_json(request: Request) -> Any:
    """The body, decoded from JSON.

    Raises:
        RequestValidationError, HTTPException: it is not JSON; the same as FastAPI raises.
        ClientDisconnected: the client left before it had sent all of it.
    """
    try:
        body = await request.body()
    except ClientDisconnect:
        raise _left() from None
    if not body:
        raise _rejected("missing", (), "Field required", None)
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise _rejected("json_invalid", (error.pos,), "JSON decode error", {}, error=error.msg) from None
    except (ValueError, RecursionError) as error:
        raise HTTPException(400) from error


async def read_multipart(request: Request, max_bytes: int, texts: Container[str]) -> dict[str, Any]:
    """The fields of a form, as they would be in JSON, and its files as bytes.

    Every part but a file is text. Fields that `texts` names keep it, the others are read as JSON where they are JSON,
    so that `5` is a number. `lora[name]` is the field `name` of the object `lora`, as OpenAI's SDK writes objects. The
    files stay in memory, up to the `max_bytes` of a body.

    Raises:
        InvalidMultipart: it is not a form, ends too early, or has too many parts.
        RequestValidationError: a field is given twice, or as an array.
        ClientDisconnected: the client left before it had sent all of it.
    """
    async with aclosing(request.stream()) as stream:
        parser = _Parser(
            request.headers, stream, max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=max_bytes
        )
        parser.spool_max_size = max_bytes
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise InvalidMultipart(f"The body is not a valid form: {error.message}") from None
        except ClientDisconnect:
            raise _left() from None
    if not parser.complete:
        raise InvalidMultipart("The body is not a valid form: it ends before its closing boundary")
    fields: dict[str, Any] = {}
    try:
        for name, part in form.multi_items():
            if isinstance(part, UploadFile):
                _put(fields, name, [name], await part.read())
            else:
                path = _KEY.findall(name) if _NAME.fullmatch(name) else [name]
                _put(fields, name, path, part if path[-1] in texts else _json_or_text(part))
    finally:
        await form.close()
    return fields


def validated(model: type[Model], fields: object) -> Model:
    """The request that `fields` make. Raises RequestValidationError, as FastAPI does."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise RequestValidationError([{**detail, "loc": ("body", *detail["loc"])} for detail in details]) from None


class _Parser(MultiPartParser):
    """Knows whether the closing boundary has come."""

    complete = False

    def on_end(self) -> None:
        self.complete = True


def _put(fields: dict[str, Any], name: str, path: list[str], value: object) -> None:
    """Put the `value` of the part `name` at `path` of the nested `fields`."""
    if "" in path:
        # The parts of several objects in an array cannot be told apart.
        raise _rejected("array", (path[0],), "must not be an array of parts: send it as one part of JSON text", name)
    for key in path[:-1]:
        fields = fields.setdefault(key, {})
        if not isinstance(fields, dict):
            raise _rejected("repeated", (name,), "is given more than once", None)
    if path[-1] in fields:
        raise _rejected("repeated", (name,), "is given more than once", None)
    fields[path[-1]] = value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _rejected(
    kind: str, where: tuple[str | int, ...], message: str, value: object, **context: str
) -> RequestValidationError:
    return RequestValidationError(
        [{"type": kind, "loc": ("body", *where), "msg": message, "input": value, "ctx": context}]
    )


def _left() -> ClientDisconnected:
    return ClientDisconnected("the client left before it had sent its request")
