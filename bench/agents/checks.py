"""What must be the same on both sides of the gateway, and in its ledger; each check returns what is not, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from bench.agents.dialects import Fields
from bench.agents.gateway import Gateway, Row, price, vendors_name
from bench.agents.recording import Exchange
from gateway.model import NANO_PER_USD, Usage

_OPTION = "stream_options"
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Pair:
    """A call on both sides: what the client sent and got, what the vendor got and sent, and the ledger's row of it."""

    client: Exchange
    vendor: Exchange
    row: Row


def pairs(clients: list[Exchange], vendors: list[Exchange], rows: list[Row]) -> tuple[list[Pair], list[str]]:
    """Each call of a vendor with the request that it was made for, and what has no counterpart."""
    asked = {each.answer_headers.get("x-request-id"): each for each in clients if each.method == "POST"}
    called = {each.headers.get("x-request-id"): each for each in vendors}
    found = [Pair(asked[row.request_id], called[row.call_id], row) for row in rows
             if row.request_id in asked and row.call_id in called]  # fmt: skip
    alone = [f"{each.method} {each.path} ({each.status}) reached no vendor" for name, each in asked.items()
             if name not in {pair.row.request_id for pair in found}]  # fmt: skip
    alone += [f"the vendor's call {name} has no row" for name in called.keys() - {pair.row.call_id for pair in found}]
    alone += [f"the row of {row.call_id} was no call" for row in rows if row.call_id not in called]
    return found, alone


def bodies(pair: Pair) -> Iterator[str]:
    """The vendor's body is the client's, but for the model's name and the option that has a stream's usage sent."""
    sent, got = json.loads(pair.client.body), json.loads(pair.vendor.body)
    expected = {**sent, "model": vendors_name(sent["model"])}
    if sent.get("stream") and pair.client.route.endswith("/chat/completions"):
        expected[_OPTION] = {**(sent.get(_OPTION) or {}), "include_usage": True}
    yield from differences(expected, got)
    if _without_ours(pair.client.body) != _without_ours(pair.vendor.body):
        yield "bytes differ outside of the fields that the gateway sets"


def differences(expected: Any, got: Any, path: str = "") -> Iterator[str]:
    """Where two values of JSON differ."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in [*expected, *(got.keys() - expected.keys())]:
            if name not in got or name not in expected:
                yield f"{path}.{name} was {'left out' if name in expected else 'added'}"
            else:
                yield from differences(expected[name], got[name], f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif expected != got or type(expected) is not type(got):
        yield f"{path} is {str(got)[:60]!r} instead of {str(expected)[:60]!r}"


def _without_ours(body: bytes) -> str:
    """An object as it is written, without the values that the gateway sets; commas are those of its other members."""
    text = body.decode()
    kept, at = "", text.index("{") + 1
    while text[at - 1] != "}":
        start = at
        name, at = _DECODER.raw_decode(text, _next(text, at))
        _, at = _DECODER.raw_decode(text, _next(text, _next(text, at) + 1))
        kept += "" if name in ("model", _OPTION) else text[start:at] + ","
        at = _next(text, at) + 1  # behind the comma, or the bracket
    return text[: text.index("{")] + kept + text[at:]


def _next(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def headers(pair: Pair, key: str, credential: str) -> Iterator[str]:
    """Anthropic's headers are the client's; the key is the vendor's, and the client's is in none."""
    names = {name for side in (pair.client, pair.vendor) for name in side.headers if name.startswith("anthropic-")}
    for name in sorted(names):
        sent, got = pair.client.headers.get(name), pair.vendor.headers.get(name)
        if sent != got:
            yield f"{name} is {got!r} instead of {sent!r}"
    if any(key in value for value in pair.vendor.headers.values()):
        yield "the client's key went to the vendor"
    if not any(credential in value for value in pair.vendor.headers.values()):
        yield "the vendor's key is missing"


def answers(pair: Pair) -> Iterator[str]:
    """The client got the vendor's very bytes."""
    if (pair.client.status, pair.client.answer) != (pair.vendor.status, pair.vendor.answer):
        sent, got = (f"{side.status} {side.answer[:80]!r}" for side in (pair.vendor, pair.client))
        yield f"the answer {sent} came as {got}"


def books(found: list[Pair], account: Mapping[str, Usage]) -> Iterator[str]:
    """Every row of the ledger has what the vendor bills for the call, to the token and to the nano-dollar."""
    for pair in found:
        row, billed = pair.row, account.get(pair.row.call_id, Usage(0, 0))
        if pair.vendor.status != 200:
            billed = replace(billed, source=row.usage.source)  # a vendor that refuses says nothing of tokens
        cost = price(row.provider, billed)
        if row.usage != billed:
            yield f"the row of {row.call_id} has {row.usage}, the vendor {billed}"
        if (row.cost_nano or 0) != cost:
            yield f"the row of {row.call_id} costs {row.cost_nano} nano-USD, the vendor bills {cost}"
        if row.model != json.loads(pair.vendor.body)["model"]:
            yield f"the row of {row.call_id} names {row.model}"


def reported(gateway: Gateway, account: Mapping[str, tuple[str, Usage]]) -> Iterator[str]:
    """`gateway usage` says of the tenant what all vendors bill together."""
    used = [usage for _, usage in account.values()]
    names = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
    expected: Fields = {name: sum(getattr(usage, name) for usage in used) for name in names}
    expected["cost_usd"] = Decimal(sum(price(vendor, usage) for vendor, usage in account.values())) / NANO_PER_USD
    expected |= {"requests": len(account), "held_usd": Decimal(0)}
    told = gateway.usage()
    for name, value in expected.items():
        if Decimal(told.get(name, -1)) != value:
            yield f"gateway usage tells {told.get(name)} {name}, and the vendors {value}"
