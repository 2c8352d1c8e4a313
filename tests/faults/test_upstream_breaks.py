"""A provider that dies wherever it is in its answer: before the first byte another one answers, and after it the client
is told in its own dialect that the answer broke off."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.fakes.upstream import Upstream
from tests.faults.hostile import CALLS, STREAM, WHOLE, Site, site_in
from tests.faults.rig import LONG, SEED
from tests.unit.providers.streams import HEAD, HELLO, chunked

OFFSETS = 20
ROUNDS = 20 if LONG else 1
Figures = Callable[..., None]


@pytest.fixture
def site(make_app: Callable[..., Flask], ledger_file: Path, upstream: Upstream) -> Iterator[Site]:
    with site_in(make_app, ledger_file, upstream) as site:
        yield site


@pytest.mark.shows("F7", "P12")
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize(("dialect", "stream"), CALLS)
def test_an_answer_that_ends_at_any_byte_is_an_error_in_the_clients_dialect(
    dialect: str, stream: bool, reset: bool, site: Site, figures: Figures
) -> None:
    end, chance, wrong = STREAM.index(b"[DONE]") if stream else len(WHOLE), random.Random(SEED), []
    for _ in range(ROUNDS):
        for cut in [0, *chance.sample(range(1, end), OFFSETS - 1)]:
            site.proxy.set(cut=cut, reset=reset)
            told = site.ask(dialect, stream)
            wrong += [] if told.broke() else [(cut, told)]
    assert wrong == []
    site.check_books()
    asked = ROUNDS * OFFSETS
    figures(f"0 of {asked} {'streams' if stream else 'answers'} that were cut got anything but an error", asked)
    site.proxy.set()
    assert site.ask(dialect, stream).text == ("Héllo" if stream else "Hello")


@pytest.mark.shows("F5")
@pytest.mark.parametrize(("dialect", "stream"), CALLS)
@pytest.mark.parametrize("moment", ["refused", "before", "within the headers", "after the headers", "within an event"])
def test_before_the_first_byte_another_provider_answers_and_after_it_none_does(
    moment: str, dialect: str, stream: bool, site: Site, figures: Figures
) -> None:
    head = len(HEAD) if stream else WHOLE.index(b"\r\n\r\n") + 4
    cuts = {"before": 0, "within the headers": head // 2, "after the headers": head}
    cut = cuts.get(moment, len(HEAD + chunked(HELLO[0])) + 9 if stream else len(WHOLE) - 9)
    for _ in range(ROUNDS):
        site.proxy.set(**({"down": True} if moment == "refused" else {"cut": cut}))
        told = site.ask(dialect, stream, "falls")
        if stream and moment == "within an event":
            assert told.broke()
            assert told.text == "Hé"
            assert site.spare.received == []
        else:
            assert (told.done, told.error) == (True, None)
            assert told.text == ("Héllo" if stream else "Hello")
    site.check_books()
    lost = f"0 of {ROUNDS} calls lost their other provider, or got one too late"
    figures(f"{moment}, {'stream' if stream else 'whole'}: {lost}", ROUNDS)


@pytest.mark.shows("F5", "P12")
def test_of_streams_to_a_provider_that_resets_a_share_of_them_each_is_whole_or_says_that_it_broke(
    site: Site, figures: Figures
) -> None:
    site.proxy.set(cut=len(HEAD) + 30, reset=True, share=0.5)
    told = [site.ask("openai", True) for _ in range(20 * ROUNDS)]
    assert all(one.done != one.broke() for one in told)
    assert 0 < sum(one.done for one in told) < len(told)
    site.check_books()
    figures(f"0 of {len(told)} streams ended without a word", len(told))
