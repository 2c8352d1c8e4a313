"""What the long forms have shown, promise by promise and fault by fault: kept in docs/reliability.json, where a run of
one file replaces only what that file shows, and written out as docs/reliability.md."""

from __future__ import annotations

import json
import os
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
KEPT = Path("docs", "reliability.json")
WRITTEN = Path("docs", "reliability.md")

ROWS = {
    "P1": "No row of the ledger is lost or doubled",
    "P2": "A hard budget is never passed",
    "P3": "A request that is sent again is charged once",
    "P4": "No input breaks the gateway",
    "P5": "A bad provider harms nobody but its own callers",
    "P6": "Retries cannot storm",
    "P7": "A breaker opens in time and heals",
    "P8": "Overload is shed, and nothing collapses",
    "P9": "What the loss of Redis costs is defined",
    "P10": "A slow Redis is no worse than a dead one",
    "P11": "A deploy cuts no stream and refuses nobody",
    "P12": "A stream that broke says so",
    "P13": "A client that leaves frees its provider and is charged",
    "P14": "Tenants are apart, in the cache too",
    "P15": "An answer of the cache is the answer",
    "P16": "No secret leaves",
    "P17": "The metrics are bounded and true",
    "P18": "What is installed is what was locked",
    "Affinity": "A conversation keeps its target, and the vendor's cache its prompts",
    "F1": "Workers killed at random and at every step of a call",
    "F2": "The master killed",
    "F3": "Reloads and stops under streams",
    "F4": "A worker stopped",
    "F5": "A provider that dies before, in and after its answer's beginning",
    "F6": "A provider that is stopped or says nothing",
    "F7": "A connection reset at any byte of an answer",
    "F8": "A provider that drips or pauses",
    "F9": "A provider that refuses for now",
    "F10": "An answer that is no answer",
    "F11": "An answer without an end",
    "F12": "Redis killed, stopped, slow, emptied, coming and going",
    "F13": "No room on a disk",
    "F14": "Clocks that step",
    "F15": "No more files to open",
    "F16": "Clients that vanish or do not read",
    "F17": "Five times the load, and then the usual again",
    "F18": "All providers down, and up again",
    "F19": "A broken configuration (two versions on one ledger: not shown yet)",
}


@dataclass
class Result:
    """What one test has shown of one row.

    Attributes:
        outcome: passed, failed or skipped.
        told: figures, each with the number of trials that it rests on, or None.
        why: it was skipped.
        when: the day, in UTC.
        where: on what kind of machine.
        in_process: it called the application itself, without a server in front of it.
    """

    outcome: str = "passed"
    told: list[tuple[str, int | None]] = field(default_factory=list)
    why: str = ""
    when: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    where: str = field(
        default_factory=lambda: (
            f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
        )
    )
    in_process: bool = False


Results = dict[str, dict[str, Result]]  # by row and by test


class Figures:
    """Collects what a run shows."""

    def __init__(self) -> None:
        self.results: Results = {}

    def begin(self, test: str, rows: Iterable[str], in_process: bool = False) -> None:
        """A test is about to show these rows."""
        for row in rows:
            self.results.setdefault(row, {})[test] = Result(in_process=in_process)

    def tell(self, test: str, row: str, text: str, n: int | None) -> None:
        self.results[row][test].told.append((text, n))

    def end(self, test: str, outcome: str, why: str = "") -> None:
        """A part of a test has ended so; the first that was no success counts."""
        for tests in self.results.values():
            if test in tests and tests[test].outcome == "passed":
                tests[test].outcome, tests[test].why = outcome, why

    def write(self, root: Path = ROOT) -> None:
        """Add it to what earlier runs have left, and write all of it out."""
        kept = read(root / KEPT)
        for row in ROWS:
            tests = {**kept.get(row, {}), **self.results.get(row, {})}
            kept[row] = {test: tests[test] for test in sorted(tests) if _is_there(root, test)}
        (root / KEPT).write_text(json.dumps(kept, indent=1, default=asdict) + "\n")
        (root / WRITTEN).write_text(rendered(kept))


def read(file: Path) -> Results:
    """What earlier runs have left."""
    found = json.loads(file.read_text()) if file.exists() else {}
    return {row: {test: Result(**result) for test, result in tests.items()} for row, tests in found.items()}


def _is_there(root: Path, test: str) -> bool:
    """Whether there still is a test of this name."""
    file, _, name = test.partition("::")
    function = re.split(r"[\[ ]", name)[0]
    return (root / file).exists() and f"def {function}(" in (root / file).read_text()


def rendered(results: Mapping[str, Mapping[str, Result]]) -> str:
    """The report."""
    found = [result for tests in results.values() for result in tests.values()]
    lines = [
        "# Reliability",
        "",
        "Written by `make faults`; what each row means is measured by the tests that it names.",
    ]
    lines += [
        "None of 100 means under 3 % at 95 % confidence: what so many trials can show stands beside each zero.",
        "",
    ]
    if inside := _files(test for tests in results.values() for test, result in tests.items() if result.in_process):
        said = (
            f"Run in the tests' own process, without Gunicorn: {', '.join(inside)}. All others ask the running service."
        )
        lines += [said, ""]
    lines += [f"Measured on: {'; '.join(sorted({result.where for result in found})) or 'nothing yet'}.", ""]
    lines += ["| | what | result | figures | shown by |", "| --- | --- | --- | --- | --- |"]
    lines += [_row(row, title, results.get(row, {})) for row, title in ROWS.items()]
    return "\n".join(lines) + "\n"


def _row(row: str, title: str, tests: Mapping[str, Result]) -> str:
    figures = _together(told for result in tests.values() for told in result.told)
    names = _files(tests)
    days = max((result.when for result in tests.values()), default="")
    shown = f"{', '.join(names)}, {days}" if names else ""
    return f"| {row} | {title} | {_verdict(tests)} | {'<br>'.join(figures)} | {shown} |"


def _files(tests: Iterable[str]) -> list[str]:
    return sorted({f"`{Path(test.partition('::')[0]).name}`" for test in tests})


def _verdict(tests: Mapping[str, Result]) -> str:
    failed = sorted({_name(test) for test, result in tests.items() if result.outcome == "failed"})
    if failed:
        return f"**fail**: {', '.join(failed)}"
    passed = any(result.outcome == "passed" for result in tests.values())
    why = "; ".join(sorted({result.why for result in tests.values() if result.outcome == "skipped"}))
    skipped = f"could not run here: {why}" if why else ""
    return "<br>".join(part for part in ("pass" if passed else "", skipped) if part) or "not shown"


def _name(test: str) -> str:
    return test.partition("::")[2].replace("_", " ").removeprefix("test ")


def _together(told: Iterable[tuple[str, int | None]]) -> list[str]:
    """The figures; trials of one kind of which none failed are one."""
    zeros: Counter[str] = Counter()
    others = []
    for text, n in told:
        if n and re.search(rf"\b0 of {n} ", text):
            zeros[text.replace(f"0 of {n} ", "0 of %d ", 1)] += n
        else:
            others.append(f"{text} (N = {n})" if n else text)
    none = [f"{text.replace('%d', str(n), 1)} (under {_most(n)} % at 95 %)" for text, n in zeros.items()]
    return [*none, *dict.fromkeys(others)]


def _most(n: int) -> str:
    """The highest rate, in per cent, at which none in n trials still happens once in twenty times."""
    return f"{100 * (1 - 0.05 ** (1 / n)):.2g}"


def asked(marks: Iterable[Any]) -> list[str]:
    """The rows that a test's marks name. Raises KeyError for one that there is not."""
    rows = [row for mark in marks for row in mark.args]
    for row in rows:
        ROWS[row]
    return rows
