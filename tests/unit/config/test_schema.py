"""The published JSON Schema says what the gateway accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from gateway.config.schema import json_schema
from tests.unit.config.test_loading import EXAMPLE

PUBLISHED = Path(__file__).parents[3] / "docs" / "gateway.schema.json"


def document(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_the_published_file_is_what_make_docs_writes() -> None:
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json_schema()


def test_it_accepts_the_whole_example() -> None:
    jsonschema.validate(
        document(
            EXAMPLE.replace("${", "$").replace("_API_KEY}", "_API_KEY").replace("weight: 3", "weight: '${WEIGHT}'")
        ),
        json_schema(),
        jsonschema.Draft202012Validator,
    )


@pytest.mark.parametrize(
    "text", ["modles: {}", "providers: {p: {kind: nope}}", "models: {m: {targets: [{provider: p}]}}", "cache: {ttl: x}"]
)
def test_it_refuses_what_the_gateway_refuses(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document(text), json_schema(), jsonschema.Draft202012Validator)
