"""`GET /`: the page for browsers, links for programs; and the page's own files."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from frontend.http.static_file import KEPT, MEDIA_TYPES, REVALIDATED, StaticFile
from frontend.schemas.links import Links

router = APIRouter(tags=["operations"])
_ASSETS = "/page/"
"""before the names of the page's files, in its HTML; and before the release's digest, in what is sent"""
_HTML = re.compile(r"\s*text/html\s*(;(?!\s*q=0(\.0*)?\s*(;|$)).*)?")
"""a range of an `Accept` header that takes HTML"""


@dataclass(frozen=True)
class Page:
    """The page, read once."""

    html: StaticFile
    files: dict[str, StaticFile]
    """all others, by their paths"""
    digest: str
    """of all of it: what an upgrade changes has another URL then"""

    @classmethod
    def read(cls, folder: Traversable) -> "Page":
        read = {name: StaticFile.read(file) for name, file in _walk(folder)}
        html = read.pop("index.html")
        etags = "".join(file.etag for _, file in sorted(read.items()))
        digest = hashlib.sha256(etags.encode()).hexdigest()[:16]
        sent = html.content.replace(f'"{_ASSETS}'.encode(), f'"{_ASSETS}{digest}/'.encode())
        return cls(StaticFile(sent, html.media_type), read, digest)


@cache
def page() -> Page:
    """The one that is installed."""
    return Page.read(files("frontend") / "page")


@router.get(
    "/",
    summary="The page, or where everything else is",
    description="A browser, whose `Accept` has `text/html`, gets the page on which videos and images are made and "
    "looked at; other clients get links. Neither needs an API key; what the page asks for does.",
    response_model=Links,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "The page, or links."}},
)
async def root(request: Request) -> Response:
    accepted = ",".join(request.headers.getlist("Accept"))
    if any(_HTML.fullmatch(part) for part in accepted.split(",")):
        return page().html.answer(request, Vary="Accept")
    return JSONResponse(Links(version=version("tritonreel")).model_dump(), headers={"Vary": "Accept"})


@router.get(f"{_ASSETS}{{digest}}/{{name:path}}", include_in_schema=False)
async def page_file(request: Request, digest: str, name: str) -> Response:
    """A file of the page; a page of another release, which another server gave out, gets this one's."""
    file = page().files.get(name)
    if file is None:
        raise HTTPException(404)
    return file.answer(request, KEPT if digest == page().digest else REVALIDATED)


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in MEDIA_TYPES:  # and not what an editor has left there
            yield f"{prefix}{entry.name}", entry
