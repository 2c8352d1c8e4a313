"""A fake Anthropic: it refuses and remembers whatever its real model would not take, and fails as it is told to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fakes import vendor
from tests.fakes.anthropic_answers import answer, count, events, models
from tests.fakes.anthropic_schema import COUNT, PATHS, VERSIONS, misfits
from tests.fakes.vendor import Received

PROVIDER_KEY = "sk-ant-of-the-vendor-0123456789"

# How servers that speak Anthropic's API write an event; all of it is server-sent events as the standard has them.
DRESSES = {
    "anthropic": "event: {}\ndata: {}\n\n",
    "crlf": "event: {}\r\ndata: {}\r\n\r\n",
    "cr": "event: {}\rdata: {}\r\r",
    "bare": "event:{}\ndata:{}\n\n",
    "comments": ": keep-alive\n\nevent: {}\ndata: {}\n\n\n",
}

# What Anthropic sends beside the body.
OWN_HEADERS = {
    "request-id": "req_of_the_vendor",
    "anthropic-organization-id": "org-of-the-operator",
    "anthropic-ratelimit-requests-limit": "30000",
    "anthropic-ratelimit-requests-remaining": "29999",
    "anthropic-ratelimit-requests-reset": "2026-11-30T12:00:01Z",
    "anthropic-ratelimit-input-tokens-limit": "2000000",
    "anthropic-ratelimit-input-tokens-remaining": "1999000",
    "set-cookie": "_cfuvid=secret; path=/; HttpOnly",
    "cf-ray": "8f00-FRA",
}
_ERRORS = {  # https://platform.claude.com/docs/en/api/errors
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
RETRY_AFTER = "7"  # seconds, of a refusal for its rate


def error(kind: str, message: str) -> bytes:
    """The body of an error, and the data of one in a stream."""
    told = {"type": "error", "error": {"type": kind, "message": message}, "request_id": OWN_HEADERS["request-id"]}
    return json.dumps(told).encode()


@dataclass
class Behaviour(vendor.Behaviour):
    """What is out of the ordinary; the fields may be set at any time."""

    dress: str = "anthropic"  # one of DRESSES
    allow: frozenset[str] = frozenset()  # top-level fields that are no part of Anthropic's schema


class _Handler(vendor.Handler):
    def do_GET(self) -> None:  # noqa: N802  (as http.server has it)
        request = self.receive()
        if not (self.knows(request) and self.accepts(request)):
            return
        _, _, name = self.path.partition("?")[0].removeprefix("/v1/models").partition("/")
        listed = models()
        if name:
            listed = [model for model in listed if model["id"] == name]
            found = json.dumps(listed[0]).encode() if listed else error("not_found_error", f"model: {name}")
            self.whole(200 if listed else 404, found)
        else:
            ids = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"]}
            self.whole(200, json.dumps({"data": listed, "has_more": False, **ids}).encode())


class AnthropicVendor(vendor.Vendor):
    """Anthropic's API: messages, their count, and models."""

    behaves = Behaviour
    handler = _Handler
    credential = "x-api-key"
    own_headers = OWN_HEADERS
    now: Behaviour

    def __init__(self, behind_gateway: bool = True, secret: str = "") -> None:
        super().__init__(behind_gateway, secret)
        self.cached: set[str] = set()  # prompts that need not be read again

    def reset(self) -> None:
        """Behave, and forget what came."""
        self.cached.clear()
        super().reset()

    def wrong(self, request: Received) -> list[str]:
        """What Anthropic would not take, and what a gateway should not have sent."""
        headers, found = request.headers, []
        if headers.get("anthropic-version") not in VERSIONS:
            found.append(f"anthropic-version: {headers.get('anthropic-version')!r} is not a valid version")
        found += self.passed_on(request)
        path = request.path.partition("?")[0]
        if not request.body or path not in PATHS:
            return found if path.startswith("/v1/models") else [*found, f"nothing is at {request.path}"]
        return found + self.mistyped(request) + misfits(path, headers, json.loads(request.body), self.now.allow)

    def expects(self, header: str) -> bool:
        """Anthropic's own are for a gateway to pass on."""
        return super().expects(header) or header.startswith("anthropic-")

    def knows(self, request: Received) -> bool:
        """Whether it shows the key; both of Anthropic's ways are open to who is no gateway."""
        bearer = request.headers.get("authorization") if not self.behind_gateway else None
        return PROVIDER_KEY in (request.headers.get(self.credential), (bearer or "").removeprefix("Bearer "))

    def stranger(self, request: Received) -> tuple[int, bytes] | None:
        """How it is refused for its key."""
        return None if self.knows(request) else (401, error(_ERRORS[401], "invalid x-api-key"))

    def refusal(self, wrong: str) -> bytes:
        """The body that says what is wrong."""
        return error(_ERRORS[400], wrong)

    def failure(self, status: int) -> bytes:
        """Anthropic's own body of an answer of such a status."""
        return error(_ERRORS.get(status, "api_error"), f"It is {status} now.")

    def beside(self, status: int) -> dict[str, str]:
        """Headers of an answer."""
        return {**({"retry-after": RETRY_AFTER} if status == 429 else {}), **super().beside(status)}

    def answer(self, request: Received, number: int) -> bytes | Iterator[str]:
        """As the path and the body have it."""
        body = json.loads(request.body)
        if request.path.startswith(COUNT):
            return json.dumps(count(body)).encode()
        if body.get("stream"):
            dress, told = DRESSES[self.now.dress], events(body, number, self.cached)
            return (dress.format(event["type"], json.dumps(event, ensure_ascii=False)) for event in told)
        return json.dumps(answer(body, number, self.cached), ensure_ascii=False).encode()

    def broken(self, path: str) -> bytes:
        """The event of a stream that ends in an error."""
        return b"event: error\ndata: %b\n\n" % error("overloaded_error", "Overloaded")
