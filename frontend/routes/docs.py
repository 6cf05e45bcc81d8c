"""`GET /docs`: Swagger UI, from this server alone."""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from frontend.http.static_file import StaticFile

router = APIRouter(prefix="/docs", include_in_schema=False)
_FOLDERS = {
    "docs.css": "frontend/api_docs",
    "docs.js": "frontend/api_docs",
    "colours.css": "frontend/page/style",
    "icon.svg": "frontend/page",
    "swagger-ui.css": "fastapi_offline/static",  # which packages what other servers load from elsewhere
    "swagger-ui-bundle.js": "fastapi_offline/static",
}
"""of the files that the page names: package and folder"""


@cache
def _read(folder: str, name: str) -> StaticFile:
    package, _, inner = folder.partition("/")
    return StaticFile.read(files(package) / inner / name)


@router.get("")
def get_docs(request: Request) -> Response:
    return _read("frontend/api_docs", "index.html").answer(request)


@router.get("/{name}")
def get_docs_file(request: Request, name: str) -> Response:
    if name not in _FOLDERS:
        raise HTTPException(404)
    return _read(_FOLDERS[name], name).answer(request)
