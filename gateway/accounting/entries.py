"""What is written into the ledger: hold, settle, expire. Each is one operation of a transaction, and all or nothing.

A hold and its settlement are the whole protocol: pending, then posted. Balances move with them, so that at any moment
a limit's value is what is spent, held and left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from gateway.accounting import sums
from gateway.accounting.balances import balance, counted, has_room, hold_of, limits
from gateway.accounting.bounds import Bound
from gateway.errors import CutOff, InvalidField
from gateway.model import Rate, Usage
from gateway.policy.limits import Limit, typical
from gateway.policy.refusals import Shortage
from gateway.policy.subjects import Payer
from gateway.stores.ledger import Refusal, Transaction

_NANOSECONDS = 1_000_000_000
_SCARCE = 64  # a limit that has no room for so many more such calls is told at once what one has not taken

Move = tuple[int, str, int]  # what is held of a balance: its id, the limit's unit, how much


class Claim(NamedTuple):
    """What a call asks to be held for one of its attempts.

    Attributes:
        call_id, attempt: ours, and unique; attempt 0 buys nothing.
        owner: the worker that will settle it.
        facts: what its row will say in any case, by column.
        asked: the bound of the request as it was asked.
        capped: its bound where a hard limit bears on it.
    """

    call_id: str
    attempt: int
    owner: str
    payer: Payer
    facts: Mapping[str, Any]
    asked: Bound
    capped: Bound

    @property
    def requests(self) -> int:
        """What it counts as a request: a second attempt is no second request."""
        return 1 if self.attempt <= 1 else 0

    def of(self, owner: str) -> Claim:
        """The same of this owner."""
        return Claim(self.call_id, self.attempt, owner, self.payer, self.facts, self.asked, self.capped)

    def bounded(self, bound: Bound) -> Claim:
        """The same with this bound, however it is asked for."""
        return Claim(self.call_id, self.attempt, self.owner, self.payer, self.facts, bound, bound)


class Unbounded(Refusal):
    """A hard limit bears on a call that has no bound or no price."""

    def __init__(self, error: InvalidField) -> None:
        super().__init__(error.message)
        self.error = error


class Refused(Refusal):
    """A limit has no room for a call."""

    def __init__(self, shortage: Shortage) -> None:
        super().__init__(shortage.limit.subject.text)
        self.shortage = shortage


@dataclass(frozen=True, slots=True)
class Overrun:
    """A limit that a settlement went past, as those may that are not hard."""

    limit: Limit
    instance: str
    spent: int


def hold(tx: Transaction, claim: Claim, now_ns: int) -> Bound:
    """Hold what a call may take, of every limit that bears on it, or of none.

    Returns:
        The bound that is held; its `cap` is to be enforced.

    Raises:
        Refused: a limit has no room for it; of several, the one that will refuse for longest.
        Unbounded: a hard limit bears on it, and it has no bound or no price.
    """
    bound, moves = _admit(tx, claim, now_ns)
    tx.run(
        "add_hold",
        call_id=claim.call_id,
        attempt=claim.attempt,
        owner=claim.owner,
        held_ms=now_ns // 1_000_000,
        held_nano=max((amount for _, unit, amount in moves if unit == "usd"), default=bound.nano or 0),
        prompt_tokens=bound.prompt_tokens,
        completion_tokens=bound.completion_tokens,
        bound_nano=bound.nano,
        facts=orjson.dumps(dict(claim.facts)).decode(),
        moves=orjson.dumps(moves).decode(),
        tenant=claim.payer.tenant,
        user_id=claim.payer.user_id,
    )
    return bound


def settle(
    tx: Transaction, call_id: str, attempt: int, now_ns: int, usage: Usage, cost: int | None, ending: Mapping[str, Any]
) -> list[Overrun]:
    """Turn a hold into its row; a repeat changes nothing.

    Args:
        usage, cost: what it took, the cost in nano-USD or None where it has no price.
        ending: what else its row says, by column.

    Returns:
        The limits that this went past.
    """
    held = tx.run("drop_hold", call=call_id, number=attempt)
    if not held:
        if not tx.run("settled", call=call_id, number=attempt):
            raise LookupError(f"call {call_id}, attempt {attempt}: there is no such hold")
        return []
    return _settle(tx, _Held.of(held[0]), now_ns, usage, cost, ending)


def give(tx: Transaction, claim: Claim, now_ns: int, usage: Usage, ending: Mapping[str, Any]) -> Bound:
    """Write down an answer that was not bought: hold what it counts, and settle it at once.

    Returns:
        What was held, with how the limits stand.

    Raises:
        Refused, Unbounded: as `hold`.
    """
    bound, moves = _admit(tx, claim, now_ns)
    held = _Held(claim.call_id, claim.attempt, now_ns // 1_000_000, claim.facts, moves)
    _settle(tx, held, now_ns, usage, 0, ending)
    return bound


def expire(tx: Transaction, owner: str, now_ns: int) -> int:
    """Settle at its bound whatever a dead worker held; how many calls that were."""
    held = tx.run("drop_holds_of", whose=owner)
    for row in held:
        bound = Usage(row[5], row[6], source="bound")
        _settle(tx, _Held.of(row), now_ns, bound, row[7], {"error_code": CutOff.code})
    return len(held)


class _Held(NamedTuple):
    """What a settlement needs to know of a hold."""

    call_id: str
    attempt: int
    held_ms: int
    facts: Mapping[str, Any]
    moves: Sequence[Move]

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> _Held:
        return cls(row[0], row[1], row[3], orjson.loads(row[8]), orjson.loads(row[9]))


def _admit(tx: Transaction, claim: Claim, now_ns: int) -> tuple[Bound, list[Move]]:
    """Move the balances of the limits that bear on a call, or none of them. Raises as `hold` does."""
    bearing = limits(tx).bearing(claim.payer)
    bound = claim.capped if _is_strict(bearing, claim) else claim.asked
    moves, refused, rates, scarce = [], [], [], False
    for limit, instance in bearing:
        asks_another = limit.unit == "requests" and limit.subject.names_a_fallback(claim.payer)
        requests = 1 if asks_another else claim.requests
        amount = counted(limit.unit, requests, bound.tokens, bound.nano)
        if limit.mode == "firm":
            amount = min(amount, _learnt(tx, claim, limit.unit, amount))
        spent, held, found = balance(tx, limit, instance, now_ns)
        if limit.mode != "soft" and amount:
            if spent + held + amount > limit.value:
                resets = has_room(tx, limit, instance, amount, now_ns)
                refused.append(Shortage(limit, instance, spent, held, amount, resets))
            scarce = scarce or spent + held + _SCARCE * amount > limit.value
        moves.append((limit, instance, found, amount))
        if limit.headed:
            rates.append(_rate(limit, spent + held, amount, now_ns))
    if refused:
        raise Refused(max(refused, key=_lasting))
    if tx.run("settled", call=claim.call_id, number=claim.attempt):  # its hold could never be settled
        raise LookupError(f"call {claim.call_id}, attempt {claim.attempt}: it is settled already")
    noted = [
        (hold_of(tx, limit, instance, now_ns, found, amount), limit.unit, amount)
        for limit, instance, found, amount in moves
    ]
    return bound.standing(rates, scarce) if rates or scarce else bound, noted


def _settle(
    tx: Transaction, held: _Held, now_ns: int, usage: Usage, cost: int | None, ending: Mapping[str, Any]
) -> list[Overrun]:
    facts, tokens = held.facts, usage.prompt_tokens + usage.completion_tokens
    overruns = []
    for moved, unit, amount in held.moves:
        spends = 0 if usage.source == "cache" else counted(unit, 0, tokens, cost)
        more = amount if unit == "requests" else spends
        if not (more or amount):
            continue
        for limit_id, instance, _, spent in tx.run("move", balance=moved, more_spent=more, less_held=amount):
            limit = limits(tx).get(limit_id)
            if limit and spent - more <= limit.value < spent:
                overruns.append(Overrun(limit, instance, spent))
    taken = {name: getattr(usage, name) for name in _TOKENS}
    entry = {
        **_NOTHING,
        **facts,
        **ending,
        **taken,
        "cache_write_1h_tokens": usage.written_for_1h or None,
        "held_ms": held.held_ms,
        "settled_ms": now_ns // 1_000_000,
        "call_id": held.call_id,
        "attempt": held.attempt,
        "cost_nano": cost,
        "usage_source": usage.source,
    }
    tx.run("add_usage", **entry)
    requests, errors = (1 if held.attempt <= 1 else 0), (1 if entry["error_code"] else 0)
    bought = _NO_TOKENS if usage.source == "cache" else tuple(taken.values())
    sums.count(tx, facts, held.held_ms, (requests, 1, errors, *bought, cost or 0))
    return overruns


_TOKENS = ("prompt_tokens", "cached_tokens", "cache_write_tokens", "completion_tokens", "reasoning_tokens")
_NO_TOKENS = (0,) * len(_TOKENS)
_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(
        (
            "trace_id", "method", "path", "status", "duration_ms", "overhead_ms", "requested_model", "saved_nano",
            "prices", "ttft_ms", "finish_reason", "upstream_request_id", "session_id", "client", "client_address",
            "error_code",
        )
    ),
    "cached": False,
    "usage_suspect": False,
}  # fmt: skip


def _is_strict(bearing: Iterable[tuple[Limit, str]], claim: Claim) -> bool:
    """Whether a hard limit bears on what the call takes. Raises Unbounded where nobody can say what that is."""
    units = {limit.unit for limit, _ in bearing if limit.mode == "hard"}
    price = claim.capped.price
    if "usd" in units and price is None:
        model, provider = claim.facts["model"], claim.facts["provider"]
        message = (
            f"A hard limit in USD bears on this call, and {provider}/{model} has no price. The operator can give it "
            "one under models: … price:, or make the limit firm or soft."
        )
        raise Unbounded(InvalidField(message, param="model"))
    strict = "tokens" in units or ("usd" in units and price is not None and not price.free)
    if strict and claim.capped.flaw:
        raise Unbounded(claim.capped.flaw)
    return strict


def _lasting(shortage: Shortage) -> tuple[bool, float]:
    """How long a limit refuses: whoever is told to try again is not to be told of the next limit then."""
    return not shortage.only_held, math.inf if shortage.resets is None else shortage.resets


def _rate(limit: Limit, used: int, amount: int, now_ns: int) -> Rate:
    resets = limit.resets(now_ns)
    return Rate(limit.unit, limit.value, used, amount, None if resets is None else resets - now_ns / _NANOSECONDS)


def _learnt(tx: Transaction, claim: Claim, unit: str, bound: int) -> int:
    """What nearly all such calls took lately; the bound where too few are known."""
    if unit == "requests":
        return bound
    facts = claim.facts
    rows = tx.run("lately", of_key=facts["key_id"], of_provider=facts["provider"], of_model=facts["model"])
    column = 0 if unit == "usd" else 1
    found = typical(row[column] for row in rows if row[column] is not None)
    return bound if found is None else found
