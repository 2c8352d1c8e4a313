"""A fake Gemini: it refuses and remembers whatever its real model would not take, and fails as it is told to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fakes import vendor
from tests.fakes.gemini_answers import (
    answer,
    counted,
    embedded,
    error,
    events,
    exhausted,
    invalid,
    models,
    overloaded,
    wrong_key,
)
from tests.fakes.gemini_schema import COUNT, EMBED, METHODS, misfits, read
from tests.fakes.vendor import Received

PROVIDER_KEY = "AIza-of-the-vendor-0123456789"
_PATH = re.compile(f"/v1beta/models/([A-Za-z0-9._-]+):({'|'.join(map(re.escape, METHODS))})")

# How servers that speak Gemini's API write an event; Google's own ends its lines in CRLF.
DRESSES = {
    "gemini": "data: {}\r\n\r\n",
    "lf": "data: {}\n\n",
    "cr": "data: {}\r\r",
    "bare": "data:{}\n\n",
    "comments": ": keep-alive\n\ndata: {}\n\n\n",
}

# What Google sends beside the body.
OWN_HEADERS = {
    "vary": "Origin",
    "server": "scaffolding on HTTPServer2",
    "x-xss-protection": "0",
    "x-frame-options": "SAMEORIGIN",
    "server-timing": "gfet4t7; dur=612",
    "alt-svc": 'h3=":443"; ma=2592000',
    "set-cookie": "NID=secret; path=/; HttpOnly",
}


@dataclass
class Behaviour(vendor.Behaviour):
    """What is out of the ordinary; the fields may be set at any time."""

    dress: str = "gemini"  # one of DRESSES
    uncounted: bool = False  # embeddings come without their usage, as those of older models


class _Handler(vendor.Handler):
    def do_GET(self) -> None:  # noqa: N802  (as http.server has it)
        if self.knows(self.receive()):
            found = self.path.partition("?")[0] == "/v1beta/models"
            self.whole(200 if found else 404, json.dumps(models()).encode() if found else error(404, "NOT_FOUND", ""))


class GeminiVendor(vendor.Vendor):
    """Gemini's API: content, its tokens, embeddings, and models."""

    behaves = Behaviour
    handler = _Handler
    credential = "x-goog-api-key"
    own_headers = OWN_HEADERS
    json_type = "application/json; charset=UTF-8"
    stream_type = "text/event-stream"
    now: Behaviour

    def wrong(self, request: Received) -> list[str]:
        """What Gemini would not take, and what a gateway should not have sent."""
        found = self.passed_on(request)
        if not (path := _PATH.fullmatch(request.path)):
            return [*found, f"nothing is at {request.path}"]
        return found + self.mistyped(request) + misfits(path[1], request.body, self.behind_gateway, path[2])

    def stranger(self, request: Received) -> tuple[int, bytes] | None:
        """How it is refused for its key."""
        return None if request.headers.get(self.credential) == PROVIDER_KEY else (400, wrong_key())

    def refusal(self, wrong: str) -> bytes:
        """The body that says what is wrong."""
        return invalid(wrong)

    def failure(self, status: int) -> bytes:
        """Google's own body of an answer of such a status."""
        return {400: invalid("Invalid argument."), 429: exhausted(), 503: overloaded()}[status]

    def answer(self, request: Received, number: int) -> bytes | Iterator[str]:
        """As the path and the body have it."""
        model, _, method = request.path.removeprefix("/v1beta/models/").partition(":")
        body = read(request.body, method)
        if method.startswith("stream"):
            return map(DRESSES[self.now.dress].format, events(model, body, number))
        if method == COUNT:
            found = counted(body)
        elif method == EMBED:
            found = embedded(body, not self.now.uncounted)
        else:
            found = answer(model, body, number)
        return json.dumps(found, ensure_ascii=False, indent=2).encode()

    def broken(self, path: str) -> bytes:
        """The event of a stream that ends in an error."""
        return b"data: %b\r\n\r\n" % json.dumps(json.loads(overloaded())).encode()
