"""OpenAPI's description of bodies that the routes read themselves."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from frontend.http.body import JSON

_COMPONENT = "#/components/schemas/{model}"


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """What `openapi_extra` says of a JSON body; `describe_bodies` adds the schema that it refers to."""
    schema = {"$ref": _COMPONENT.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def describe_bodies(app: FastAPI, *models: type[BaseModel]) -> None:
    """Add the schemas of bodies to the application's description, as FastAPI does for bodies that it reads itself."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        description = generate()
        components = description["components"]["schemas"]
        for model in models:
            schema = model.model_json_schema(ref_template=_COMPONENT)
            for name, component in (schema.pop("$defs", {}) | {model.__name__: schema}).items():
                components.setdefault(name, component)
        return description

    app.openapi = openapi  # type: ignore[method-assign]


def inline_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of `model`, with what it refers to put in place. `model` must not contain itself."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(item) for item in node]
        if not isinstance(node, dict):
            return node
        referred = definitions[node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else {}
        return {name: inlined(value) for name, value in (referred | node).items() if name != "$ref"}

    return dict(inlined(schema))


def form_schema(
    model: type[BaseModel], file_field: str, instead: type[BaseModel], *, with_file: bool
) -> dict[str, Any]:
    """The same as a form: the fields of `instead` are named `file_field[...]`.

    Args:
        with_file: `file_field` itself is a file; a form that is URL-encoded has none.
    """
    schema = inline_schema(model)
    del schema["examples"]
    properties = schema["properties"]
    file = {"type": "string", "format": "binary", "description": properties.pop(file_field)["description"]}
    files = {file_field: file} if with_file else {}
    others = {f"{file_field}[{name}]": field for name, field in inline_schema(instead)["properties"].items()}
    return schema | {"properties": {"prompt": properties["prompt"], **files, **properties, **others}}
