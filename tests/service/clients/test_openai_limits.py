"""What the official SDK makes of limits, set by the operator's command while the service runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.fakes.openai_vendor import OpenAIVendor
from tests.service.conftest import Service

HELLO: Any = [{"role": "user", "content": "Hello"}]


def gateway(service: Service, *words: str) -> str:
    """Run the operator's command beside the service; what it prints."""
    command = [str(Path(sys.executable).parent / "gateway"), *words]
    done = subprocess.run(command, cwd=service.directory, env={}, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("stream", [False, True])
def test_a_spent_budget_is_a_rate_limit_error_that_the_sdk_does_not_try_again(
    client: OpenAI, service: Service, vendor: OpenAIVendor, stream: bool
) -> None:
    user = f"broke-{stream}"
    gateway(service, "limits", "set", f"user:{user}@default", "usd/month", "0.000001")
    patient = client.with_options(max_retries=3)
    for _ in range(4):  # whichever worker answers
        with pytest.raises(openai.RateLimitError) as caught:
            patient.chat.completions.create(model="fast", messages=HELLO, max_tokens=9, user=user, stream=stream)
        assert (caught.value.code, caught.value.type) == ("insufficient_quota", "insufficient_quota")
        limit = caught.value.response.json()["error"]["limit"]
        assert (limit["subject"], limit["limit"], limit["used"]) == (f"user:{user}@default", 0.000001, 0)
    assert vendor.received == []
    refused = [line for line in service.lines() if line.get("user_id") == user]
    assert [line["error_code"] for line in refused] == ["insufficient_quota"] * 4


def test_under_a_hard_limit_the_body_differs_in_the_cap_alone(
    client: OpenAI, service: Service, vendor: OpenAIVendor
) -> None:
    gateway(service, "limits", "set", "user:capped@default", "usd/month", "100")
    client.chat.completions.create(model="fast", messages=HELLO, max_tokens=10**6, user="capped", temperature=0.50)
    (sent,) = [json.loads(request.body) for request in vendor.received]
    assert sent == {
        "model": "gpt-4o-mini",
        "messages": HELLO,
        "max_tokens": 128_000,
        "user": "capped",
        "temperature": 0.50,
    }


def test_usage_is_told_to_the_nano_dollar_while_the_service_runs(
    client: OpenAI, service: Service, vendor: OpenAIVendor
) -> None:
    for stream in (False, True):
        answer = client.chat.completions.create(model="fast", messages=HELLO, user="counted", stream=stream)
        _ = list(answer) if stream else None
    (row,) = [
        row
        for row in json.loads(gateway(service, "usage", "--by", "user", "--format", "json"))
        if row["user"] == "counted"
    ]
    lines = [line for line in service.lines() if line.get("user_id") == "counted"]
    assert (row["requests"], row["errors"], row["held_usd"]) == (2, 0, "0")
    assert row["prompt_tokens"] == sum(line["prompt_tokens"] for line in lines)
    cost = sum(round(line["estimated_cost_usd"] * 10**9) for line in lines)
    assert row["cost_usd"] == f"{cost / 10**9:.9f}".rstrip("0")
