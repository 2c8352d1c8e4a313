"""`GET /openapi.json`, and `GET /docs`: a page to read it and try it, which needs nothing from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property
from importlib.resources import files

import flask_swagger_ui
import orjson
from flask import Blueprint, Response, current_app, request

from gateway.api import openapi
from gateway.errors import NotFound

_PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>LLM gateway</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/init.js"></script>
</html>
"""

# Without a `validatorUrl` of null the page would send the document to a service on the internet.
_INIT = b"""SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null, deepLinking: true});
"""

_SWAGGER_UI = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
}

_UNCHANGED = {304: {"description": "Not Modified: the client has it already, by its `If-None-Match`"}}


class _File:
    """Bytes that never change; made when they are first asked for, and kept."""

    def __init__(self, make: Callable[[], bytes], mimetype: str) -> None:
        self._make = make
        self._mimetype = mimetype

    @cached_property
    def _content(self) -> tuple[bytes, str]:
        content = self._make()
        return content, hashlib.sha256(content).hexdigest()[:32]

    def respond(self) -> Response:
        """The bytes, or 304 for a client that has them."""
        content, etag = self._content
        response = Response(content, mimetype=self._mimetype, headers={"Cache-Control": "public, max-age=300"})
        response.set_etag(etag)
        response.make_conditional(request)
        return response


def blueprint() -> Blueprint:
    routes = Blueprint("docs", __name__)
    document = _File(lambda: orjson.dumps(openapi.document(current_app)), "application/json")
    html = _File(lambda: _PAGE, "text/html")
    allowed = {"init.js": _File(lambda: _INIT, "text/javascript")}
    for name, mimetype in _SWAGGER_UI.items():
        allowed[name] = _File((files(flask_swagger_ui) / "dist" / name).read_bytes, mimetype)

    @routes.get("/openapi.json")
    @openapi.describe("This document", answer={"type": "object"}, responses=_UNCHANGED)
    def openapi_json() -> Response:
        return document.respond()

    @routes.get("/docs")
    @openapi.describe("The same as a page", answer={"type": "string"}, media_type="text/html", responses=_UNCHANGED)
    def page() -> Response:
        response = html.respond()
        response.headers.update(_PAGE_HEADERS)
        return response

    @routes.get("/docs/<name>")
    @openapi.describe(
        "What the page is made of",
        answer={},
        media_type="*/*",
        parameters=[{"in": "path", "name": "name", "schema": {"enum": list(allowed)}}],
        responses=_UNCHANGED,
        errors=(NotFound,),
    )
    def file(name: str) -> Response:
        if name not in allowed:
            raise NotFound
        return allowed[name].respond()

    return routes
