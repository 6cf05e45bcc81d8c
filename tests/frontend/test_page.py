"""The page's files and `GET /`, as clients get them."""

import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.http.security_headers import security_headers
from frontend.routes.page import Page, page
from frontend.settings import Settings
from tests.conftest import ROOT
from tests.frontend.conftest import client_of
from tests.frontend.fake_generator import FakeGenerator

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FOLDER = ROOT / "frontend" / "page"


async def test_a_browser_gets_the_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", headers=BROWSER)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Vary"] == "Accept"
    assert "<title>Tritonreel</title>" in answer.text


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "text/html;q=0", "text/html;q=0.0, */*", "text/htmlx", "x text/html"]
)
async def test_other_clients_get_links(client: httpx.AsyncClient, accept: str | None) -> None:
    answer = await client.get("/", headers={} if accept is None else {"Accept": accept})
    links = answer.json()
    assert answer.headers["Vary"] == "Accept"
    for name in ("docs", "openapi", "models", "jobs", "metrics"):
        assert (await client.get(links[name], params={"limit": 1})).status_code == 200
    for example, body in links["examples"].items():
        method, path = example.split()
        assert method == "POST"
        assert body["prompt"]
        assert path.startswith("/v1/")


@pytest.mark.parametrize("accept", ["text/html", "text/html;q=0.5", "image/png, text/html;level=1"])
async def test_what_takes_html_at_all_gets_the_page(client: httpx.AsyncClient, accept: str) -> None:
    assert (await client.get("/", headers={"Accept": accept})).text.startswith("<!doctype html>")


async def test_every_file_is_kept_until_an_upgrade_changes_it(client: httpx.AsyncClient) -> None:
    names = [path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()]
    assert sorted([*page().files, "index.html"]) == sorted(names)
    html = (await client.get("/", headers=BROWSER)).text
    (digest,) = set(re.findall(r'"/page/([^/"]+)/', html))
    assert html.replace(f"/page/{digest}/", "/page/") == (FOLDER / "index.html").read_text()
    types = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
    for name in page().files:
        answer = await client.get(f"/page/{digest}/{name}")
        assert answer.content == (FOLDER / name).read_bytes()
        assert answer.headers["Content-Type"] == types[name.rpartition(".")[2]]
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        of_other_release = await client.get(f"/page/other/{name}")
        assert of_other_release.content == answer.content
        assert of_other_release.headers["Cache-Control"] == "no-cache"
        again = await client.get(f"/page/other/{name}", headers={"If-None-Match": f'"x", W/{answer.headers["ETag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == answer.headers["ETag"]


async def test_the_html_is_asked_for_again_every_time(client: httpx.AsyncClient) -> None:
    first = await client.get("/", headers=BROWSER)
    assert first.headers["Cache-Control"] == "no-cache"
    again = await client.get("/", headers=BROWSER | {"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


def test_what_an_editor_has_left_is_no_file_of_the_page(tmp_path: Path) -> None:
    for name in ("index.html", "main.js", "main.js~", ".main.js.swp"):
        (tmp_path / name).write_text("")
    assert [*Page.read(tmp_path).files] == ["main.js"]


def test_another_content_has_another_digest(tmp_path: Path) -> None:
    def digest(script: str) -> str:
        (tmp_path / "index.html").write_text('<script src="/page/main.js">')
        (tmp_path / "main.js").write_text(script)
        read = Page.read(tmp_path)
        assert read.html.content == f'<script src="/page/{read.digest}/main.js">'.encode()
        return read.digest

    assert digest("1") == digest("1") != digest("2")


@pytest.mark.parametrize(
    "name", ["", "none.js", "x/none.js", "x/../app.py", "x/%2e%2e/app.py", "x/script/../../app.py", "x//etc/passwd"]
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/page/{name}", follow_redirects=True)).status_code == 404


async def test_the_page_runs_nothing_that_is_not_its_own(client: httpx.AsyncClient) -> None:
    for path in ("/", "/page/x/script/main.js"):
        policy = (await client.get(path, headers=BROWSER)).headers["Content-Security-Policy"]
        assert policy == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
            "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        assert "unsafe" not in policy
    assert security_headers("/page/")["Content-Security-Policy"] == policy
    for other in ("/v1/videos", "/pages", None):
        assert security_headers(other)["Content-Security-Policy"] != policy


def test_its_files_name_no_other_server_and_no_inline_code() -> None:
    for path in FOLDER.rglob("*"):
        text = path.read_text() if path.is_file() else ""
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert addresses == set(), path
        assert not re.search(r"(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), path
    html = (FOLDER / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! type=\"module\" src=)", html)


def test_no_file_has_more_than_one_idea() -> None:
    long = {path.name: count for path in FOLDER.rglob("*.*") if (count := len(path.read_text().splitlines())) > 330}
    assert long == {}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_page_needs_no_key_and_what_it_asks_for_does(tmp_path: Path, method: str) -> None:
    settings = Settings(api_key="a-key-for-the-page", keys_file=tmp_path / "keys.json")
    async with client_of(create_app(settings, FakeGenerator())) as client:
        for path in ("/", "/page/x/script/main.js"):
            assert (await client.request(method, path, headers=BROWSER)).status_code == 200
        for path in ("/v1/models", "/v1/jobs", "/metrics", "/page", "/pages"):
            assert (await client.request(method, path, headers=BROWSER)).status_code == 401


def test_the_form_has_the_bounds_of_the_api(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]
    known = {**schemas["VideoGenerationRequest"]["properties"], **schemas["ImageGenerationRequest"]["properties"]}
    rows = re.findall(
        r'name: "(\w+)", .*min: ([\d.]+), max: ([\d.]+)', (FOLDER / "script" / "sampling_fields.js").read_text()
    )
    assert len(rows) == 8
    for name, least, most in rows:
        (bounds,) = (one for one in known[name].get("anyOf", [known[name]]) if one.get("type") in ("number", "integer"))
        assert float(most) == bounds["maximum"], name
        if "exclusiveMinimum" in bounds:
            assert float(least) > bounds["exclusiveMinimum"], name
        else:
            assert float(least) == bounds["minimum"], name
    compose = (FOLDER / "script" / "compose.js").read_text()
    assert set(re.findall(r"maxLength: (\d+)", compose)) == {str(known["prompt"]["maxLength"])}
