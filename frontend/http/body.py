"""Reads the bodies of requests, JSON and forms as declared, within the bounds of `json_text` and `form`."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Container
from contextlib import aclosing
from email.message import Message
from functools import partial
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from frontend.errors import ClientDisconnected, InvalidJson, UnsupportedMediaType
from frontend.http.form import Part, read_parts, read_urlencoded
from frontend.http.json_text import LONG_TEXTS, MAX_DEPTH, Budget, InvalidValue, NotJson, decode
from protocol.printable import quoted

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

JSON = "application/json"
FORM = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"

_LONGEST_TYPE = 100
"""characters of a Content-Type that an error repeats"""
_LARGE = 8 * 1024
"""bytes from which a body is read in a thread, so that other requests are served meanwhile"""
_NAME = re.compile(r"[^\[\]]+(\[[^\[\]]*\])*")
_KEY = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")


async def read_json(request: Request, model: type[Model]) -> Model:
    """The request that a JSON body makes.

    Raises:
        UnsupportedMediaType: it is not declared as JSON.
        InvalidJson: it is not JSON.
        RequestValidationError: it is not what `model` describes, or too large in some respect.
        ClientDisconnected: the client left before it had sent all of it.
    """
    if not _is_json(_declared(request)):
        raise _unsupported(request, JSON)
    body = bytearray()
    async for chunk in _chunks(request):
        body += chunk
    if not body:
        raise _rejected("missing", (), "Field required", None)
    return await _aside(len(body), partial(_json, model, body))


async def read_form_or_json(
    request: Request, model: type[Model], *, texts: Container[str], file_field: str, other_file_fields: Container[str]
) -> tuple[Model, bytes | None]:
    """The request that a form or a JSON body makes, and the file in the form's field `file_field`.

    Every part of a form but a file is text. Fields that `texts` names keep it, the others are read as JSON where they
    are JSON, so that `5` is a number. `lora[name]` is the field `name` of the object `lora`, as OpenAI's SDK writes
    objects. What is empty counts as absent, as forms send what nobody filled in. Files stay in memory; one
    in one of `other_file_fields`, as other clients call the field, is taken for that in `file_field`.

    Raises:
        UnsupportedMediaType: it is declared as neither.
        InvalidMultipart: it is not a form, or one with too much of something, or with text that is not UTF-8.
        RequestValidationError: a field is given twice, or as an array, or it is not what `model` describes.
        InvalidJson, ClientDisconnected: as `read_json`.
    """
    if _is_json(_declared(request)):
        return await read_json(request, model), None
    content_type = request.headers.get("Content-Type", "")
    long_texts = {file_field, *(f"{file_field}[{name}]" for name in LONG_TEXTS)}
    if _declared(request) == FORM:
        parts = await read_parts(_chunks(request), content_type, long_texts)
    elif _declared(request) == URLENCODED:
        body = b"".join([chunk async for chunk in _chunks(request)])
        parts = await _aside(len(body), partial(read_urlencoded, body, content_type, long_texts))
    else:
        raise _unsupported(request, f"{FORM}, {URLENCODED} or {JSON}")
    size = sum(len(part.content) for part in parts)
    return await _aside(size, partial(_form, model, parts, texts, file_field, other_file_fields))


def _declared(request: Request) -> str:
    """Type and subtype, in lower case; "text/plain" where the header cannot be read."""
    header = Message()
    header["Content-Type"] = request.headers.get("Content-Type", "")
    return header.get_content_type()


def _is_json(content_type: str) -> bool:
    main, _, sub = content_type.partition("/")
    return main == "application" and (sub == "json" or sub.endswith("+json"))


def _unsupported(request: Request, allowed: str) -> UnsupportedMediaType:
    given = request.headers.get("Content-Type", "")
    said = quoted(given, _LONGEST_TYPE) if given else "none"
    return UnsupportedMediaType(f"the Content-Type must be {allowed}, got {said}")


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it arrives. Starlette would keep what it reads whole for as long as the request is served."""
    try:
        async with aclosing(request.stream()) as stream:
            async for chunk in stream:
                yield chunk
    except ClientDisconnect:
        raise ClientDisconnected("the client left before it had sent its request") from None


async def _aside(size: int, read: Callable[[], T]) -> T:
    return read() if size < _LARGE else await asyncio.to_thread(read)


def _json(model: type[Model], body: bytearray) -> Model:
    try:
        value = decode(body)
    except NotJson as error:
        raise InvalidJson(f"The body is not valid JSON: {error}") from None
    except InvalidValue as error:
        raise _rejected("invalid", error.path, error.rule, None) from None
    return _validated(model, value)


def _form(
    model: type[Model], parts: list[Part], texts: Container[str], file_field: str, other_file_fields: Container[str]
) -> tuple[Model, bytes | None]:
    fields: dict[str, Any] = {}
    budget = Budget()
    for part in parts:
        if not part.content and not _is_required(model, part.name):
            continue
        if isinstance(part.content, bytes):
            name = part.name.removesuffix("[]")
            if name != file_field and name not in other_file_fields:
                raise _rejected("file", (part.name,), f"takes no file: send the image as {file_field}", None)
            _put(fields, part.name, [file_field], part.content)
        else:
            path = _KEY.findall(part.name) if _NAME.fullmatch(part.name) else [part.name]
            _put(fields, part.name, path, part.content if path[-1] in texts else _json_or_text(part, path, budget))
    file = fields.pop(file_field) if isinstance(fields.get(file_field), bytes) else None
    return _validated(model, fields), file


def _is_required(model: type[BaseModel], name: str) -> bool:
    return name in model.model_fields and model.model_fields[name].is_required()


def _validated(model: type[Model], fields: object) -> Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise RequestValidationError([{**detail, "loc": ("body", *detail["loc"])} for detail in details]) from None


def _put(fields: dict[str, Any], name: str, path: list[str], value: object) -> None:
    """Put the `value` of the part `name` at `path` of the nested `fields`."""
    if "" in path:
        # The parts of several objects in an array cannot be told apart.
        raise _rejected("array", (path[0],), "must not be an array of parts: send it as one part of JSON text", name)
    if len(path) > MAX_DEPTH:
        raise _rejected("nested", (path[0],), "is nested too deeply", None)
    for key in path[:-1]:
        fields = fields.setdefault(key, {})
        if not isinstance(fields, dict):
            raise _rejected("repeated", (name,), "is given more than once", None)
    if path[-1] in fields:
        raise _rejected("repeated", (name,), "is given more than once", None)
    fields[path[-1]] = value


def _json_or_text(part: Part, path: list[str], budget: Budget) -> Any:
    try:
        return decode(str(part.content).encode(), budget)
    except NotJson:
        return part.content
    except InvalidValue as error:
        raise _rejected("invalid", (*path, *error.path), error.rule, None) from None


def _rejected(kind: str, where: tuple[str | int, ...], message: str, value: object) -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": ("body", *where), "msg": message, "input": value}])
