"""A secret is found however it is written."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.secrets import BLOT, Redactor, Secret

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=60), before=anything, after=anything
)
def test_a_secret_is_found_in_every_form_and_wherever_it_stands(secret: str, before: str, after: str) -> None:
    redactor, whole = Redactor([Secret(secret)]), before + secret + after
    forms = [whole, quote(whole, safe=""), json.dumps(whole), base64.b64encode(whole.encode()).decode()]
    assert all(redactor.finds(form) for form in forms)
    assert not any(redactor.finds(redactor.text(form)) for form in forms)


def test_a_secret_that_is_no_utf_8_is_one_all_the_same() -> None:
    assert Redactor([Secret("\udcff-secret")]).text("a \udcff-secret") == f"a {BLOT}"


@pytest.mark.parametrize("secret", [None, Secret(""), Secret("short")])
def test_what_is_too_short_to_be_told_from_other_texts_is_passed_over(secret: Secret | None) -> None:
    assert Redactor([secret]).text("a short text") == "a short text"
