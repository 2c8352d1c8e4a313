"""Lists as operators want them: for the eye, for programs, for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import click


def listed(rows: Sequence[dict[str, Any]], columns: Sequence[str], form: str) -> str:
    """The rows as `table`, `json` or `csv`.

    Args:
        rows: each with all `columns`.
    """
    if form == "json":
        return json.dumps(list(rows), indent=2)
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({column: _plain(value) for column, value in row.items()} for row in rows)
        return text.getvalue().rstrip("\n")
    shown = [[*columns], *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in shown) for place in range(len(columns))]
    numeric = [all(_is_number(row[column]) for row in rows) for column in columns]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in shown
    )


def with_format(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option that every listing has."""
    option = click.option(
        "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
    )
    return option(command)


def _cell(value: Any) -> str:
    """A cell for the eye; what a client has named may hold anything, and a terminal obeys some of it."""
    text = "" if value is None else str(value)
    return text if text.isprintable() else ascii(text)[1:-1]


def _plain(value: Any) -> str:
    """A cell for a spreadsheet, which would take some texts for formulas."""
    text = _cell(value)
    return text if _is_number(value) or not text.startswith(("=", "+", "-", "@")) else f"'{text}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.replace(".", "", 1).isdecimal())
