"""Whether the books are right: read when all is quiet, straight from the ledger's tables, and compared with what the
provider wrote down, with what the clients were told and with what /metrics shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gateway.errors import CutOff
from gateway.policy.limits import SLIDING, Limit
from gateway.policy.subjects import Payer, Subject
from tests.fakes.ledgers import Place, asked
from tests.faults.load import Call
from tests.faults.upstream import Line, read_record

# Nano-USD of a token; `rig.CONFIG` has the same prices in USD per million.
INPUT, CACHED, OUTPUT = 1_250, 125, 10_000
KINDS = ("prompt", "cached", "cache_write", "completion", "reasoning")
TOKENS = tuple(f"{kind}_tokens" for kind in KINDS)
_SUMS = ("requests", "attempts", "errors", *TOKENS, "cost_nano")
_BY_DAY = ("day", "tenant", "key_id", "user_id", "names", "model", "provider")
_BY_MODEL = ("tenant", "model", "provider")
_WHOLE = {
    "usage": ("attempt", "held_ms", "settled_ms", *TOKENS, "cost_nano", "saved_nano"),
    "days": _SUMS,
    "totals": _SUMS,
    "balances": ("limit_id", "start", "spent", "held"),
    "limits": ("value",),
}
_SHOWN = 12  # differences of one kind that are printed

Row = dict[str, Any]


def cost(line: Line | Row) -> int:
    """What tokens cost, in nano-USD."""
    read = line.get if isinstance(line, dict) else lambda name: getattr(line, name)
    prompt, cached, answer = (int(read(f"{kind}_tokens")) for kind in ("prompt", "cached", "completion"))
    return (prompt - cached) * INPUT + cached * CACHED + answer * OUTPUT


def holds(place: Place) -> list[Row]:
    """The calls in flight."""
    return _all(place, "holds")


def _all(place: Place, table: str) -> list[Row]:
    with closing(asked(place)) as connection:
        cursor = connection.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


class Oracle:
    """Looks at everything once.

    Args:
        place: where the ledger is.
        record: the provider's file.
        metrics: the text of /metrics.
        calls: what clients saw.
    """

    def __init__(self, place: Place, record: Path, metrics: str, calls: Iterable[Call] = ()) -> None:
        tables = {name: _all(place, name) for name in ("usage", "holds", "days", "totals", "balances", "limits")}
        self.rows, self._tables = tables["usage"], tables
        self.lines = read_record(record)
        self._metrics = metrics
        self._calls = list(calls)

    def check(self) -> str:
        """Raise AssertionError with every difference; else a sentence of figures."""
        checks = (self._once, self._rows, self._excess, self._quiet, self._sums, self._shown, self._balances,
                  self._told, self._whole)  # fmt: skip
        found = [f"{check.__name__[1:]}: {line}" for check in checks for line in _shortened(check())]
        assert not found, "the books are wrong\n" + "\n".join(found)
        sources, outcomes = Counter(row["usage_source"] for row in self.rows), Counter(c.outcome for c in self._calls)
        return (
            f"{len(self.lines)} calls at the provider, {len(self.rows)} rows, {sources['bound']} of them bound, "
            f"{sources['cache']} of the cache; clients: " + ", ".join(f"{n} {name}" for name, n in outcomes.items())
        )

    def _once(self) -> Iterator[str]:
        """Every call of the provider is in the books, and nothing is twice."""
        rows = Counter((row["call_id"], row["attempt"]) for row in self.rows)
        lines = Counter((line.call_id, line.attempt) for line in self.lines)
        yield from (f"{n} rows of call {key}" for key, n in rows.items() if n > 1)
        yield from (f"{n} requests of call {key}" for key, n in lines.items() if n > 1)
        yield from (f"no row of call {key}, which the provider bills" for key in lines if key not in rows)

    def _rows(self) -> Iterator[str]:
        """What a row says is what the provider wrote down; more only where the row says that it is a bound."""
        lines = {(line.call_id, line.attempt): line for line in self.lines}
        for row in self.rows:
            line, told = lines.get((row["call_id"], row["attempt"])), _brief(row)
            source, given = row["usage_source"], row["cost_nano"]
            if source == "cache":
                if row["attempt"] or line or given:
                    yield f"{told}: the cache's, and bought"
            elif source == "bound":
                least = line or Line("", 0, 0, 0, 0, 0, stream=False)
                kinds = ("prompt_tokens", "completion_tokens")
                if any(row[kind] < getattr(least, kind) for kind in kinds) or given < cost(least):
                    yield f"{told}: less than {line}"
            elif line is None:
                if any(row[kind] for kind in TOKENS) or given or not row["error_code"]:
                    yield f"{told}: the provider knows nothing of it"
            elif source != "provider" and not row["error_code"]:
                yield f"{told}: {source}"
            elif any(row[kind] != getattr(line, kind, 0) for kind in TOKENS) or given != cost(line):
                yield f"{told}: is not {line}"

    def _excess(self) -> Iterator[str]:
        """The books exceed the provider's by the rows that are bounds, and by nothing else."""
        bounds = {(row["call_id"], row["attempt"]): row for row in self.rows if row["usage_source"] == "bound"}
        billed = {(line.call_id, line.attempt): cost(line) for line in self.lines}
        booked = sum(row["cost_nano"] or 0 for row in self.rows)
        excess = sum(row["cost_nano"] - billed.get(key, 0) for key, row in bounds.items())
        if booked - sum(billed.values()) != excess:
            yield f"{booked} booked, {sum(billed.values())} billed, {excess} of the difference is in bounds"

    def _quiet(self) -> Iterator[str]:
        """Nothing is held any more."""
        yield from (f"still held: {row['call_id']} {row['attempt']}" for row in self._tables["holds"])
        yield from (f"balance holds {row['held']}: {row}" for row in self._tables["balances"] if row["held"])

    def _sums(self) -> Iterator[str]:
        """The days and the totals are the sums of the rows."""
        for table, keys in (("days", _BY_DAY), ("totals", _BY_MODEL)):
            expected: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
            for row in self.rows:
                bought = {name: row[name] if row["usage_source"] != "cache" else 0 for name in TOKENS}
                expected[tuple(_of_day(row)[key] for key in keys)].update(
                    bought,
                    requests=int(row["attempt"] <= 1),
                    attempts=1,
                    errors=int(bool(row["error_code"])),
                    cost_nano=row["cost_nano"] or 0,
                )
            kept = {tuple(row[key] for key in keys): row for row in self._tables[table]}
            for key in {*expected, *kept}:
                wrong = {
                    name: (kept.get(key, {}).get(name), expected[key][name])
                    for name in _SUMS
                    if kept.get(key, {}).get(name) != expected[key][name]
                }
                if wrong:
                    yield f"{table} {key}: (kept, of the rows) {wrong}"

    def _shown(self) -> Iterator[str]:
        """/metrics shows the sums of the rows."""
        expected: Counter[tuple[str, ...]] = Counter()
        for row in self.rows:
            whose = tuple(row[key] for key in _BY_MODEL)
            expected[(*whose, "cost")] += row["cost_nano"] or 0
            for kind in KINDS:
                expected[(*whose, kind)] += row[f"{kind}_tokens"] if row["usage_source"] != "cache" else 0
        shown = {}
        for family in text_string_to_metric_families(self._metrics):
            for sample in family.samples:
                if sample.name in ("llm_gateway_tokens_total", "llm_gateway_cost_usd_total"):
                    whose = tuple(sample.labels[key] for key in _BY_MODEL)
                    shown[(*whose, sample.labels.get("kind", "cost"))] = sample.value
        for key in {*expected, *shown}:
            right = expected[key] / 10**9 if key[-1] == "cost" else expected[key]
            if shown.get(key, 0) != right:
                yield f"{key}: shows {shown.get(key, 0)!r}, the rows have {right!r}"

    def _balances(self) -> Iterator[str]:
        """Every limit of the ledger has spent what its rows took in their period, and a hard one no more than it is."""
        limits = {row["id"]: row for row in self._tables["limits"]}
        kept = {(row["limit_id"], row["instance"], row["start"]): row["spent"] for row in self._tables["balances"]}
        for row in limits.values():
            limit = Limit(
                row["id"], Subject.parse(row["subject"]), *(row[n] for n in ("unit", "period", "mode", "value"))
            )
            if not limit.in_ledger:
                continue
            spent: Counter[tuple[int, str, int]] = Counter()
            for taken in self.rows:
                payer = Payer(taken["tenant"], taken["key_id"], taken["user_id"], taken["names"].split(" "))
                if (whose := limit.subject.instance(payer)) is not None:
                    spent[(limit.id, whose, limit.bucket(taken["held_ms"] * 1_000_000))] += _counted(limit.unit, taken)
            newest = max((start for _, _, start in spent), default=0)
            for key in {*spent, *(key for key in kept if key[0] == limit.id)}:
                forgotten = key not in kept and limit.period in SLIDING and key[2] < newest - 60
                if kept.get(key, 0) != spent[key] and not forgotten:
                    yield f"{row['subject']} {limit.unit}/{limit.period} {key}: {kept.get(key)} kept, {spent[key]} taken"
                if limit.mode == "hard" and limit.period not in SLIDING and spent[key] > limit.value:
                    yield f"{row['subject']} {limit.unit}/{limit.period}: {spent[key]} spent of {limit.value}"

    def _told(self) -> Iterator[str]:
        """An answer that a client has got whole is in the books as the client was told, or at a bound of no less where
        its worker died before it was written down; what was refused, at once or after an attempt that failed, has cost
        nothing."""
        rows = defaultdict(list)
        for row in self.rows:
            rows[row["request_id"]].append(row)
        for call in self._calls:
            found = rows[call.request_id]
            if call.outcome == "ok":
                last = max(found, key=lambda row: row["attempt"], default=None)
                if not last or not _is_as_told(last, call):
                    yield f"{call}: {last and _brief(last)}"
            elif call.status == 429 and any(row["cost_nano"] or not row["error_code"] for row in found):
                yield f"{call}: was refused, and has cost something"

    def _whole(self) -> Iterator[str]:
        """Amounts are whole numbers in the tables."""
        for table, columns in _WHOLE.items():
            for name in columns:
                allowed = {int, type(None)} if name in ("cost_nano", "saved_nano") else {int}
                if kinds := {type(row[name]) for row in self._tables[table]} - allowed:
                    yield f"{table}.{name} has {kinds}"


def _of_day(row: Row) -> Row:
    return {**row, "day": datetime.fromtimestamp(row["held_ms"] / 1000, UTC).date().isoformat()}


def _counted(unit: str, row: Row) -> int:
    if unit == "requests":
        return int(row["attempt"] <= 1)
    if row["usage_source"] == "cache":
        return 0
    return row["cost_nano"] or 0 if unit == "usd" else row["prompt_tokens"] + row["completion_tokens"]


def _is_as_told(row: Row, call: Call) -> bool:
    """Whether a row says what a client was told; where its worker died before it was written down, no less than that."""
    ending, taken = (row["usage_source"], row["error_code"]), (row["prompt_tokens"], row["completion_tokens"])
    if ending == ("bound", CutOff.code) and call.told and not call.cached:
        return all(most >= told for most, told in zip(taken, call.told, strict=True))
    return ending == ("cache" if call.cached else "provider", None) and taken == call.told


def _brief(row: Row) -> str:
    names = ("call_id", "attempt", "usage_source", "prompt_tokens", "completion_tokens", "cost_nano", "error_code")
    return "row " + ", ".join(f"{name} {row[name]}" for name in names)


def _shortened(lines: Iterable[str]) -> Sequence[str]:
    found = list(lines)
    return found if len(found) <= _SHOWN else [*found[:_SHOWN], f"… and {len(found) - _SHOWN} more"]
