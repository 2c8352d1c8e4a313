"""Which targets take a call: room, credentials and breakers together."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.config import Secret
from gateway.config.settings import BreakerSettings, ProviderSettings
from gateway.errors import (
    AnswerTooLarge,
    ClientLeft,
    CredentialRefused,
    GatewayError,
    ProviderBusy,
    ProviderFailed,
    ProviderRefused,
    QuotaSpent,
    StaleConnection,
)
from gateway.model import Target
from gateway.routing.board import Board
from gateway.routing.breakers import Breakers
from gateway.routing.credentials import Credentials
from gateway.routing.targets import Targets
from gateway.routing.unavailable import Unavailable
from tests.unit.routing.conftest import Clock

POOL, PLAIN = Target("pool", "m"), Target("plain", "m")
PROVIDERS = {
    "pool": ProviderSettings("pool", "openai", "http://x", tuple(Secret(f"sk-{number}") for number in range(3))),
    "plain": ProviderSettings("plain", "openai", "http://x", max_in_flight=2),
}


@pytest.fixture
def make_targets(make_board: Callable[[], Board]) -> Callable[[], Targets]:
    def make() -> Targets:
        board = make_board()
        breakers = Breakers(board, BreakerSettings(failures=2), lambda provider, model: model)
        targets = Targets(
            PROVIDERS, breakers, Credentials(PROVIDERS, board, lambda provider, model: model), most=lambda: 8
        )
        targets.board = board  # type: ignore[attr-defined]
        return targets

    return make


@pytest.fixture
def targets(make_targets: Callable[[], Targets]) -> Targets:
    return make_targets()


def fail(targets: Targets, target: Target, error: GatewayError | None, conversation: str | None = "c") -> int:
    """Have a call end so; the credential that it used."""
    place = targets.enter(target, "t", conversation)
    targets.leave(place, error is None or error.is_well, error)
    return place.key


def why(targets: Targets, target: Target) -> tuple[str, float]:
    with pytest.raises(Unavailable) as caught:
        targets.enter(target, "t")
    return caught.value.why, caught.value.seconds


def test_a_provider_has_so_many_places_and_one_that_is_left_is_free(targets: Targets) -> None:
    places = [targets.enter(PLAIN, "t") for _ in range(2)]
    assert why(targets, Target("plain", "another"))[0] == "no room"
    targets.leave(places[0], True)
    targets.enter(PLAIN, "t")


def test_a_provider_that_alone_is_called_may_have_all_places_and_else_leaves_room_for_the_others(
    targets: Targets,
) -> None:
    places = [targets.enter(POOL, "t") for _ in range(8)]
    assert why(targets, POOL)[0] == why(targets, PLAIN)[0] == "no room"
    for place in places:
        targets.leave(place, True)
    for _ in range(7):
        targets.enter(POOL, "t")
    assert why(targets, POOL)[0] == "no room"
    targets.enter(PLAIN, "t")


def test_a_tenant_does_not_take_all_that_a_provider_may_have(make_board: Callable[[], Board]) -> None:
    few = {"plain": ProviderSettings("plain", "openai", "http://x", max_in_flight=10)}
    board = make_board()
    breakers = Breakers(board, BreakerSettings(), lambda provider, model: model)
    targets = Targets(few, breakers, Credentials(few, board, lambda provider, model: model), most=lambda: 100)
    targets.leave(targets.enter(PLAIN, "quiet"), True)
    with pytest.raises(Unavailable):
        for _ in range(10):
            targets.enter(PLAIN, "noisy")
    targets.enter(PLAIN, "quiet")


def test_a_probe_that_was_never_sent_is_for_others_to_make(targets: Targets, clock: Clock) -> None:
    for tenant in ("a", "b"):
        targets.leave(targets.enter(PLAIN, tenant), False)
    clock.pass_by(2)
    lost = targets.enter(PLAIN, "hammering")
    targets.leave(lost, None, sent=False)
    with pytest.raises(Unavailable):
        targets.enter(PLAIN, "hammering")
    assert targets.enter(PLAIN, "quiet").is_probe


def test_a_credential_that_was_used_too_often_rests_and_another_is_used(targets: Targets, clock: Clock) -> None:
    first = fail(targets, POOL, ProviderBusy(retry_after=7))
    second = fail(targets, POOL, ProviderBusy(retry_after=3))
    third = fail(targets, POOL, None)
    assert sorted([first, second, third]) == [0, 1, 2]
    assert fail(targets, POOL, None) == third, "a conversation stays with it"
    clock.pass_by(3)
    assert fail(targets, POOL, None) in (second, third)
    clock.pass_by(4)
    assert fail(targets, POOL, None) == first, "and goes back to its own"


def test_all_workers_leave_a_credential_alone_that_one_has_used_too_often(make_targets: Callable[[], Targets]) -> None:
    one, other = make_targets(), make_targets()
    busy = fail(one, POOL, ProviderBusy())
    other.enter(POOL, "t")
    other.board.look()  # type: ignore[attr-defined]
    assert {fail(other, POOL, None, f"c-{number}") for number in range(30)} == {0, 1, 2} - {busy}


def test_where_all_credentials_rest_the_target_takes_calls_only_of_those_who_have_no_choice(targets: Targets) -> None:
    kinds = (ProviderBusy(), QuotaSpent("spent"), CredentialRefused("refused"))
    keys = [fail(targets, POOL, error) for error in kinds]
    assert why(targets, POOL) == ("its credentials rest", 5.0)
    assert targets.enter(POOL, "t", "c", rested=False).key == keys[0], "the one that may be used soonest"


@pytest.mark.parametrize(
    "error", [None, ProviderRefused(400), ProviderBusy(), CredentialRefused("no"), AnswerTooLarge()]
)
def test_a_target_that_answers_anything_about_the_request_is_well(
    error: GatewayError | None, targets: Targets, clock: Clock
) -> None:
    for _ in range(3):
        fail(targets, POOL, ProviderFailed("500"))
        targets.leave(targets.enter(POOL, "t", rested=False), error is None or error.is_well, error)
    clock.pass_by(61)  # its credentials have rested
    assert targets.states()["pool"] == "ok"


def test_failures_leave_a_target_alone_until_a_probe_is_answered(targets: Targets, clock: Clock) -> None:
    fail(targets, PLAIN, ProviderFailed("500"))
    assert targets.states() == {"pool": "ok", "plain": "degraded"}
    fail(targets, PLAIN, ProviderFailed("500"))
    assert targets.states() == {"pool": "ok", "plain": "down"}
    assert why(targets, PLAIN) == ("left alone after failures", 2.0)
    clock.pass_by(2)
    probe = targets.enter(PLAIN, "t")
    assert probe.is_probe
    assert why(targets, PLAIN)[0] == "left alone after failures", "one at a time"
    targets.leave(probe, True)
    assert targets.states()["plain"] == "ok"


def test_what_says_nothing_of_a_target_changes_nothing_but_its_room(targets: Targets) -> None:
    fail(targets, PLAIN, ProviderFailed("500"))
    for _ in range(5):
        fail(targets, PLAIN, ClientLeft())
        fail(targets, PLAIN, StaleConnection())
    assert targets.states()["plain"] == "degraded"


def test_a_provider_whose_credentials_all_rest_is_not_well(make_targets: Callable[[], Targets]) -> None:
    here, elsewhere = make_targets(), make_targets()
    elsewhere.leave(elsewhere.enter(POOL, "t"), True)
    for _ in range(3):
        fail(here, POOL, ProviderBusy())
    elsewhere.board.look()  # type: ignore[attr-defined]
    assert (here.states()["pool"], elsewhere.states()["pool"]) == ("degraded", "degraded"), "for one of its models"
    for _ in range(3):
        place = here.enter(Target("pool", "other"), "t")
        here.leave(place, True, CredentialRefused("no"))
    elsewhere.board.look()  # type: ignore[attr-defined]
    assert (here.states()["pool"], elsewhere.states()["pool"]) == ("down", "down")
