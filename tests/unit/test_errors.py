"""The tree of errors says every code that a client can meet."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from gateway import errors
from gateway.schemas.fields import _CODES
from tests.unit.test_house import MODULES, place


def raised() -> Iterator[tuple[str, str]]:
    """Each error that the package makes with a code of its own, and that code."""
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and hasattr(errors, ast.unparse(node.func)):
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        yield ast.unparse(node.func), str(keyword.value.value)
                    elif keyword.arg == "code":
                        assert place(module) == "schemas/fields", "codes that are computed are known to one module"
    yield from (("InvalidField", code) for code in _CODES.values())


@pytest.mark.parametrize(("name", "code"), sorted(set(raised())))
def test_a_code_that_an_error_is_raised_with_is_one_of_its_class(name: str, code: str) -> None:
    error: type[errors.GatewayError] = getattr(errors, name)
    assert code in (error.code, *error.other_codes)


@pytest.mark.parametrize("error", [errors.InvalidRequest, errors.InvalidField])
def test_a_class_names_no_code_that_it_is_never_raised_with(error: type[errors.GatewayError]) -> None:
    assert {code for name, code in raised() if name == error.__name__} >= set(error.other_codes)
