"""A gateway in this process whose providers sit behind a proxy that breaks things, and what its clients are told."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask

from tests.api.books import Books
from tests.conftest import KEY
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.upstream import Received, Upstream, completion, response
from tests.unit.providers.streams import DONE, END, HEAD, HELLO, USAGE, chunked, event

PATHS = {"openai": "/v1/chat/completions", "ours": "/inference"}
CALLS = [(dialect, stream) for dialect in PATHS for stream in (False, True)]
CREDENTIAL = "sk-canary-0123456789abcdef"
CAP = 50  # tokens of each answer
WHOLE = response(json.dumps(completion("Hello", usage={"prompt_tokens": 3, "completion_tokens": 2})).encode())
STREAM = HEAD + chunked(*HELLO) + chunked(event({}, usage=USAGE), DONE) + END
_SAME = 40  # providers at one address: none of them fails often enough to be left out
_PATIENT = {"connect": 5, "first_byte": 5, "idle": 5, "total": 10}


def good(connection: Any, request: Received) -> bool:
    """An upstream's script: a sound answer, as it was asked for."""
    connection.sendall(STREAM if request.json.get("stream") else WHOLE)
    return True


@dataclass(frozen=True)
class Told:
    """What a client was told."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[Any]:
        """What the events of a stream say, but for its `[DONE]`."""
        data = [found[6:] for found in self.body.split(b"\n\n") if found.startswith(b"data: ")]
        return [json.loads(said) for said in data if said != b"[DONE]"]

    @property
    def text(self) -> str:
        """The answer, whatever its dialect."""
        if not self.events:
            whole = json.loads(self.body)
            return str(whole["response"] if "response" in whole else whole["choices"][0]["message"]["content"])
        deltas = [said.get("delta") or (said.get("choices") or [{}])[0].get("delta") or "" for said in self.events]
        return "".join(delta if isinstance(delta, str) else delta.get("content") or "" for delta in deltas)

    @property
    def error(self) -> dict[str, Any] | None:
        said = self.events[-1:] if self.events or self.status == 200 else [json.loads(self.body)]
        found: dict[str, Any] | None = said[0].get("error") if said else None
        return found

    @property
    def done(self) -> bool:
        return self.body.endswith(DONE) or (self.status == 200 and not self.events)

    def broke(self, code: str = "upstream_error") -> bool:
        """Whether it is an error in the client's dialect, with this code and nothing that looks like an end."""
        status = {"upstream_error": 502, "upstream_timeout": 504}[code]
        error = self.error or {}
        return (
            self.status in ((200, status) if self.events else (status,))
            and (set(error), error.get("code")) == ({"message", "type", "param", "code"}, code)
            and not self.done
        )


class Site:
    """The gateway, the proxy before its providers, and another provider that is well."""

    def __init__(self, books: Books, proxy: ChaosProxy, spare: Upstream) -> None:
        self.books, self.proxy, self.spare = books, proxy, spare
        self.upstream = books.upstream
        self._asked = 0
        self._numbers = itertools.cycle(range(_SAME))

    def ask(self, dialect: str, stream: bool, model: str = "only", **fields: Any) -> Told:
        """Ask `only` a provider that suffers, or one that `falls` back on the one that is well."""
        fields = {"model": f"{model}-{next(self._numbers)}", "max_tokens": CAP, "stream": stream, **fields}
        asked = (
            {"messages": [{"role": "user", "content": "Hello"}]}
            if dialect == "openai"
            else {"prompt": "Hello", "user_id": "u"}
        )
        answer = self.books.client.post(PATHS[dialect], json={**asked, **fields}, headers={"x-api-key": KEY})
        told = Told(answer.status_code, dict(answer.headers), answer.get_data())
        answer.close()
        self._asked += 1
        return told

    def check_books(self) -> None:
        """Nothing is held any more, and every attempt has one row."""
        assert self.books.tables()["holds"] == []
        assert [held for _, held in self.books.standing()] == [0]
        attempts = sorted(self.books.rows("call_id, attempt"))
        calls = Counter(call for call, _ in attempts)
        assert len(calls) == self._asked
        assert attempts == sorted((call, number + 1) for call, most in calls.items() for number in range(most))


@contextmanager
def site_in(
    make_app: Callable[..., Flask], ledger_file: Path, upstream: Upstream, scheme: str = "http", **timeouts: float
) -> Iterator[Site]:
    """A site, until the block ends."""
    with ChaosProxy(upstream.port, seed=1) as proxy, Upstream() as spare:
        upstream.script = spare.script = good
        url, limits = f"{scheme}://127.0.0.1:{proxy.port}/v1", json.dumps({**_PATIENT, **timeouts})
        price = "price: {input: 0.001, output: 0.002}"
        yaml = ["breaker: {failures: 1000000}"]  # each test is about its own calls
        yaml += [f"providers:\n  spare: {{kind: openai, base_url: {spare.base_url}}}"]
        yaml += [
            f"  up-{at}: {{kind: openai, base_url: {url}, api_key: {CREDENTIAL}, timeouts: {limits}}}"
            for at in range(_SAME)
        ]
        yaml += [f"models:\n  well: {{targets: [{{provider: spare, model: gpt-4o}}], {price}}}"]
        for at in range(_SAME):
            target = f"targets: [{{provider: up-{at}, model: gpt-4o}}]"
            yaml += [f"  only-{at}: {{{target}, {price}}}", f"  falls-{at}: {{{target}, {price}, fallback: [well]}}"]
        app = make_app("\n".join(yaml), MODEL_NAME="well", CACHE_TTL="0")
        books = Books(app.test_client(), upstream, ledger_file)
        books.limit("tenant:default", "usd/day", "1")
        yield Site(books, proxy, spare)
