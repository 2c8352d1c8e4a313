"""What is called, and how: one row of the table each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bench.load import NUMBER, requests
from bench.servers import Server

NAMES = ("direct", "health", "echo", "upstream", "cache-hit", "direct-stream", "stream")
STREAMS = 16  # under way at once, or as many as calls are if that is less

_PROMPT = f"What does a gateway between applications and language models do, in three sentences? {NUMBER}"
HIT = re.compile(rb'"cached": ?true|x-gateway-cache: hit', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of call at one concurrency.

    Attributes:
        name: one of NAMES.
        server: whom to call, and whose CPU time counts.
        calls: the bytes of one request after the other.
        connections: calls under way at once.
        compared: the scenario without the gateway whose latency compares, if there is one.
        streams: every response is a stream of events, and its latency is that of its first byte.
        mark: what every response should hold beyond status 200, if anything.
    """

    name: str
    server: Server
    calls: Iterator[bytes]
    connections: int
    compared: str = ""
    streams: bool = False
    mark: re.Pattern[bytes] | None = None

    @property
    def unit(self) -> str:
        return "stream" if self.streams else "call"


def scenarios(upstream: Server, gateway: Server, caching: Server, key: str, connections: int) -> list[Scenario]:
    """Every scenario, in the order of the table; `caching` is a gateway whose cache is on, `key` is good for both."""
    headers = {"content-type": "application/json"}
    chat = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": _PROMPT}]}
    direct = requests(f"{upstream.url}/v1/chat/completions", headers, json.dumps(chat))

    def stream(server: Server) -> Iterator[bytes]:
        body = json.dumps({**chat, "model": "openai/gpt-4o-mini", "stream": True})
        return requests(f"{server.url}/v1/chat/completions", {**headers, "authorization": f"Bearer {key}"}, body)

    def infer(server: Server, prompt: str = _PROMPT, **fields: str) -> Iterator[bytes]:
        body = json.dumps({"prompt": prompt, "user_id": "bench", **fields})
        return requests(f"{server.url}/inference", {**headers, "x-api-key": key}, body)

    both = sorted({1, connections})
    few = sorted({1, min(STREAMS, connections)})
    return [
        *(Scenario("direct", upstream, direct, count) for count in both),
        Scenario("health", gateway, requests(f"{gateway.url}/health"), connections),
        Scenario("echo", gateway, infer(gateway, model="offline/echo"), connections),
        *(Scenario("upstream", gateway, infer(gateway), count, "direct") for count in both),
        Scenario("cache-hit", caching, infer(caching, _PROMPT.replace(NUMBER, "")), connections, mark=HIT),
        *(Scenario("direct-stream", upstream, stream(upstream), count, streams=True) for count in few),
        *(Scenario("stream", gateway, stream(gateway), count, "direct-stream", streams=True) for count in few),
    ]
