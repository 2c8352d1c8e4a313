"""A fake OpenAI: it refuses and remembers whatever its real model would not take, and fails as it is told to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fakes import openai_answers, responses_answers, vendor
from tests.fakes.openai_schema import misfits
from tests.fakes.vendor import Received

PROVIDER_KEY = "sk-of-the-vendor-0123456789"
RESPONSES = "/v1/responses"

# How servers that speak OpenAI's API write an event; all of it is server-sent events as the standard has them.
DRESSES = {
    "openai": "data: {}\n\n",
    "crlf": "data: {}\r\n\r\n",
    "cr": "data: {}\r\r",
    "bare": "data:{}\n\n",
    "comments": ": PROCESSING\n\ndata: {}\n\n\n",
    "named": "event: message\nid: 1\nretry: 10\ndata: {}\n\n",
}

_ERROR = b'data: {"error": {"message": "The server had an error", "type": "server_error", "code": null}}\n\n'
_RESPONSES_ERROR = (
    b'event: error\ndata: {"type": "error", "code": "server_error", "message": "The server had an error", '
    b'"param": null, "sequence_number": 1}\n\n'
)

# What OpenAI sends beside the body.
OWN_HEADERS = {
    "x-request-id": "req_of_the_vendor",
    "openai-organization": "org-of-the-operator",
    "openai-processing-ms": "12",
    "openai-version": "2020-10-01",
    "set-cookie": "__cf_bm=secret; path=/; HttpOnly",
    "x-ratelimit-limit-requests": "30000",
    "x-ratelimit-remaining-requests": "29999",
    "cf-ray": "8f00-FRA",
}


@dataclass
class Behaviour(vendor.Behaviour):
    """What is out of the ordinary; the fields may be set at any time."""

    dress: str = "openai"  # one of DRESSES
    allow: frozenset[str] = frozenset()  # top-level fields that are no part of OpenAI's schema


class OpenAIVendor(vendor.Vendor):
    """OpenAI's API, but for what it lists."""

    behaves = Behaviour
    handler = vendor.Handler
    credential = "authorization"
    own_headers = OWN_HEADERS
    root = "/v1"
    now: Behaviour

    def wrong(self, request: Received) -> list[str]:
        """What OpenAI would not take, and what a gateway should not have sent."""
        shown = request.headers.get(self.credential)
        found = [] if shown == f"Bearer {PROVIDER_KEY}" else ["not the vendor's key"]
        found += self.mistyped(request) + self.passed_on(request)
        body = json.loads(request.body)
        found += misfits(request.path, request.body, body, self.now.allow)
        return found if found or request.path != RESPONSES else responses_answers.misfits(body)

    def refusal(self, wrong: str) -> bytes:
        """The body that says what is wrong."""
        error = {"message": wrong, "type": "invalid_request_error", "param": None, "code": None}
        return json.dumps({"error": error}).encode()

    def answer(self, request: Received, number: int) -> bytes | Iterator[str]:
        """As the path and the body have it."""
        body, path = json.loads(request.body), request.path
        dress = DRESSES[self.now.dress]
        if path == RESPONSES:
            if body.get("stream"):
                return (_named(dress, event) for event in responses_answers.events(body, number))
            found = responses_answers.answer(body, number)
        else:
            if body.get("stream"):
                return map(dress.format, openai_answers.events(path, body, number))
            found = openai_answers.answer(path, body, number)
        return json.dumps(found, ensure_ascii=False, indent=2).encode()

    def broken(self, path: str) -> bytes:
        """The event of a stream that ends in an error."""
        return _RESPONSES_ERROR if path == RESPONSES else _ERROR


def _named(dress: str, event: str) -> str:
    """An event of a response, which has a name."""
    return dress.replace("data:", f"event: {json.loads(event)['type']}\ndata:").format(event)
