"""What is called, and how: the rows of the tables, and one turn of each."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import click

from bench import load, wrk
from bench.kernel import cpu, loop_us
from bench.load import NUMBER, Call, Figures
from bench.servers import Server

CONNECTIONS = 32
STREAMS = 16
_CACHE = "x-gateway-cache"
_WARM_UP_SECONDS = 1
_WORDS = ("the", "a", "file", "tool", "must", "never", "run", "without", "asking", "user", "before", "path")
_PROMPT = f"What does a gateway between applications and language models do, in three sentences? {NUMBER}"


def message(text: str = _PROMPT) -> dict[str, object]:
    """A chat completion's fields."""
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 256}


def agent() -> dict[str, object]:
    """A coding agent's: 125 kB, of which 48 tools and the instructions are most, the same in every call."""
    words = random.Random(1)  # noqa: S311 - the same text every time

    def prose(length: int) -> str:
        return " ".join(words.choices(_WORDS, k=length))[:length]

    def tool(number: int) -> dict[str, object]:
        properties = {f"field_{each}": {"type": "string", "description": prose(120)} for each in range(6)}
        parameters = {
            "type": "object",
            "properties": properties,
            "required": ["field_0"],
            "additionalProperties": False,
        }
        return {
            "type": "function",
            "function": {"name": f"tool_{number}", "description": prose(500), "parameters": parameters},
        }

    turns = [{"role": "user", "content": f"{prose(2_000)} {NUMBER}"}]
    return {
        "messages": [{"role": "system", "content": prose(41_300)}, *turns],
        "tools": [tool(number) for number in range(48)],
        "max_tokens": 256,
    }


def spread_over(server: Server, credentials: Sequence[str]) -> Iterator[bytes]:
    """Chat completions, with one of the keys after the other."""
    call = server.chat(**message())
    each = [replace(call, headers={**call.headers, "authorization": f"Bearer {key}"}).requests() for key in credentials]
    return map(next, cycle(each))


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of call at one concurrency.

    Attributes:
        name: what is done; the same of all servers.
        server: whom to call, and whose CPU time counts.
        connections: calls under way at once.
        streams: every response is a stream of events.
        mark: the header that should be `hit` in every response, if any.
        requests: what to send instead of `call`, where that is not one call with a number.
    """

    name: str
    server: Server
    call: Call
    connections: int
    streams: bool = False
    mark: str = ""
    requests: Iterator[bytes] | None = None

    @property
    def unit(self) -> str:
        return "stream" if self.streams else "call"

    def drive(self, seconds: float) -> Figures:
        """Load for so long, by wrk where that is installed and can do it: it knows no first byte and no stream's end.

        Raises:
            ClickException: no call succeeded.
            OSError: no connection came about.
        """
        if wrk.PATH and not self.streams and not self.requests:
            found = wrk.drive(self.call, self.connections, seconds, self.mark)
        else:
            mark = re.compile(rb"\r\n%b: hit\r" % self.mark.encode(), re.IGNORECASE) if self.mark else None
            calls = self.requests or self.call.requests()
            found = load.drive(
                self.server.url, calls, self.connections, seconds, mark, self.streams, self.server.done
            ).figures()
        if not found.calls:
            raise click.ClickException(f"{self.name} of {self.server.name}: no call succeeded: {found.errors}")
        return found

    def warm_up(self, seconds: float) -> None:
        self.drive(min(seconds, _WARM_UP_SECONDS))


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a scenario.

    Attributes:
        cpu_us: of one call, in all of the server's processes.
        loop_us: how fast the server's core was just before, see `bench.kernel.loop_us`.
    """

    figures: Figures
    cpu_us: float
    loop_us: float

    @property
    def per_second(self) -> float:
        return self.figures.calls / self.figures.seconds


def take(scenario: Scenario, seconds: float) -> Turn:
    """Run a scenario for so long, and account for what its server used. Raises as `Scenario.drive` does."""
    speed = loop_us(scenario.server.core)
    pids = scenario.server.pids
    before = cpu(pids)
    found = scenario.drive(seconds)
    return Turn(found, (cpu(pids) - before) / found.calls * 1e6, speed)


def of(server: Server) -> Iterator[Scenario]:
    """What is asked of every server."""
    call, stream = server.chat(**message()), server.chat(**message(), stream=True)
    for connections in (1, CONNECTIONS):
        yield Scenario("chat", server, call, connections)
    for connections in (1, STREAMS):
        yield Scenario("stream", server, stream, connections, streams=True)


def of_ours(server: Server, caching: Server) -> Iterator[Scenario]:
    """What is asked of our gateway alone; `caching` is another one, whose cache is on."""
    yield Scenario("health", server, Call(f"{server.url}/health"), CONNECTIONS)
    yield Scenario("cache hit", caching, caching.chat(**message("The same every time.")), CONNECTIONS, mark=_CACHE)
