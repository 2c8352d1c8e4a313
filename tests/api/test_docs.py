"""GET /docs is a page that works without internet and trusts nobody else's code."""

from __future__ import annotations

import re
from pathlib import Path

import flask_swagger_ui
import pytest
from flask.testing import FlaskClient

FILES = {
    "init.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
PATHS = ["/openapi.json", "/docs", *(f"/docs/{name}" for name in FILES)]
DIST = Path(flask_swagger_ui.__file__).parent / "dist"


def text(client: FlaskClient, path: str) -> str:
    return client.get(path).get_data(as_text=True)


def test_the_page_loads_only_files_that_the_service_serves(client: FlaskClient) -> None:
    loaded = re.findall(r'(?:src|href)="([^"]*)"', text(client, "/docs"))
    assert sorted(loaded) == sorted(f"/docs/{name}" for name in FILES)
    for name, mimetype in FILES.items():
        response = client.get(f"/docs/{name}")
        assert (response.status_code, response.mimetype) == (200, mimetype)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if name != "init.js":
            assert response.data == (DIST / name).read_bytes()


def test_the_root_names_the_page(client: FlaskClient) -> None:
    root = client.get("/").json
    assert root is not None
    assert client.get(root["docs"]).mimetype == "text/html"


def test_nothing_refers_to_another_host(client: FlaskClient) -> None:
    for path in ("/docs", "/docs/init.js", "/openapi.json"):
        assert "//" not in text(client, path)
    script = text(client, "/docs/init.js")
    assert "validatorUrl: null" in script, "else the page sends the document to a service on the internet"
    assert 'url: "/openapi.json"' in script


def test_the_page_runs_and_loads_nothing_but_its_own_files(client: FlaskClient) -> None:
    page = client.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page.get_data(as_text=True), re.DOTALL)
    assert all("src=" in attributes and not inline for attributes, inline in scripts)
    assert not re.search(r"<style|<base|<form| on\w+=|javascript:", page.get_data(as_text=True))


@pytest.mark.parametrize(
    "name",
    [
        "index.html", "swagger-ui.js", "oauth2-redirect.html", "oauth2-redirect.js", "VERSION", "LICENSE",
        "swagger-ui-bundle.js.map", "SWAGGER-UI.CSS", "", "../flask_swagger_ui.py", "..%2fflask_swagger_ui.py",
        "%2e%2e/flask_swagger_ui.py", "..\\flask_swagger_ui.py", "/etc/passwd", "swagger-ui.css/", "swagger-ui.css%00",
    ],
)  # fmt: skip
def test_no_other_file_is_served(name: str, client: FlaskClient) -> None:
    response = client.get(f"/docs/{name}")
    assert (response.status_code, response.mimetype) == (404, "application/json")


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_has_it_is_told_that_it_is_unchanged(path: str, client: FlaskClient) -> None:
    first = client.get(path)
    assert (first.status_code, first.headers["Cache-Control"]) == (200, "public, max-age=300")
    etag = first.headers["ETag"]
    again = client.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
    assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
    assert client.get(path, headers={"If-None-Match": '"other"'}).data == first.data


@pytest.mark.parametrize("path", PATHS)
def test_head_tells_the_length_and_no_answer_sets_a_cookie(path: str, client: FlaskClient) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.data))
    assert "Set-Cookie" not in get.headers


def test_the_metrics_count_the_files_as_one_route(client: FlaskClient) -> None:
    for number in range(20):
        client.get(f"/docs/made-up-{number}")
    client.get("/docs/init.js")
    metrics = text(client, "/metrics")
    assert "made-up" not in metrics
    assert "init.js" not in metrics
    assert 'url_rule="/docs/<name>"' in metrics
