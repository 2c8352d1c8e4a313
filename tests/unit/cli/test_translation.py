"""The page that says what becomes of every field is the one that the code makes."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from gateway.cli import main
from gateway.schemas.anthropic import MessagesSchema
from gateway.schemas.openai import ChatSchema
from gateway.schemas.responses import ResponsesSchema

PAGE = Path(__file__).parents[3] / "docs" / "translation.md"


def test_the_published_page_is_what_make_docs_writes() -> None:
    assert CliRunner().invoke(main, ["translation"]).output == PAGE.read_text(encoding="utf-8")


def test_every_documented_field_of_every_dialect_is_in_it() -> None:
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")
    for section, schema in zip(sections[1:4], (ChatSchema(), ResponsesSchema(), MessagesSchema()), strict=True):
        for name in set(schema.fields) - {"text"}:  # whose parts stand there one by one
            assert f"| `{name}` |" in section, name
