"""A firm limit holds what such calls cost of late, so that a budget which suffices is not eaten up by their caps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
import requests

from tests.faults.rig import LONG, Rig, tell
from tests.service.conftest import GOOD

CALLS, AT_ONCE = (500, 20) if LONG else (40, 10)
CAP = 64_000
BODY_BYTES = 125_000
USAGE = (32_000, 1_000)  # tokens: 0.04 and 0.01 USD
EACH = Decimal("0.05")
LIMIT = Decimal(50) if LONG else Decimal(10)  # of which the calls take a half or less


@pytest.mark.shows("P2")
def test_calls_with_large_caps_are_not_refused_while_a_firm_budget_pays_for_what_they_cost(
    make_rig: Callable[..., Rig], figures: Callable[..., None]
) -> None:
    rig = make_rig(provider=("--usage", *map(str, USAGE)))
    body = {"messages": [{"role": "user", "content": "x" * BODY_BYTES}], "max_tokens": CAP}
    statuses = []

    def ask(number: int) -> int:
        body_of_its_own = {**body, "user": f"user-{number}"}
        answer = requests.post(f"{rig.service.url}/v1/chat/completions", json=body_of_its_own, headers=GOOD, timeout=60)
        return answer.status_code

    rig.operator("limits", "set", "tenant:default", "usd/day", f"{LIMIT}", "--mode", "firm")
    with ThreadPoolExecutor(AT_ONCE) as clients:
        for status in clients.map(ask, range(CALLS)):
            statuses.append(status)
            if len(statuses) % 100 == 0:
                tell(f"{len(statuses)} calls")
    assert statuses == [200] * CALLS
    oracle = rig.audit()
    assert len(oracle.rows) == CALLS
    assert [line["cost_usd"] for line in rig.listed("usage")] == [f"{(EACH * CALLS).normalize():f}"]
    (found,) = rig.listed("limits", "list", "tenant:default")
    assert (Decimal(found["spent"]), found["held"]) == (EACH * CALLS, "0")
    figures(f"0 of {CALLS} calls with large caps were refused by a firm budget that pays for them", CALLS)
