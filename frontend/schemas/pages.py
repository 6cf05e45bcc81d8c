"""Lists in pages, as OpenAI's API has them."""

from typing import Annotated, Generic, Literal, Self, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from frontend.schemas.record import Record

Item = TypeVar("Item", bound=Record)
Limit = Annotated[int, Query(ge=0, le=100, description="How many at most.")]
Order = Annotated[Literal["asc", "desc"], Query(description="`desc`: the newest first; `asc`: the oldest.")]


class ListPage(BaseModel, Generic[Item]):
    """A page of a list."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None = Field(description="Of the first one in `data`.")
    last_id: str | None = Field(description="Of the last one: the next page begins `after` it.")
    has_more: bool = Field(description="Whether there is a next page.")

    @classmethod
    def of(cls, items: list[Item], *, has_more: bool) -> Self:
        return cls(
            data=items,
            first_id=items[0].id if items else None,
            last_id=items[-1].id if items else None,
            has_more=has_more,
        )
