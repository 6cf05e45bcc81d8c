"""Models of the same fields, of which any may be left out."""

from collections.abc import Callable
from copy import copy
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


def partial(
    *, required: frozenset[str] = frozenset(), keep_defaults: bool = False
) -> Callable[[type[Model]], type[Model]]:
    """Decorate a model whose fields are optional: each takes None too, which it has when it is left out.

    A field is declared once, in the model where it has a value, with its bounds, description and examples; what a
    client may leave open inherits from that model and is decorated with this. The type checker goes on to see the
    declared types: read the values of a partial model as data where they may be None.

    Args:
        required: fields that stay as they are.
        keep_defaults: a field with a default of its own has that, and not None, when it is left out.
    """

    def decorate(model: type[Model]) -> type[Model]:
        for name, field in model.model_fields.items():
            if name in required:
                continue
            opened = copy(field)
            bounded: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
            opened.annotation = bounded | None
            opened.metadata = []
            if field.is_required() or not keep_defaults:
                opened.default, opened.default_factory = None, None
            model.model_fields[name] = opened
        model.model_rebuild(force=True)
        return model

    return decorate
