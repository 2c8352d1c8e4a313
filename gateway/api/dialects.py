"""What the routes of Anthropic's dialect have in common: its errors, and headers of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.api.rates import tightest
from gateway.errors import GatewayError
from gateway.schemas import anthropic_stream, openai_stream
from gateway.telemetry.record import RequestRecord


def error_body(record: RequestRecord, error: GatewayError) -> bytes:
    """What a client is told of an error."""
    if record.of_anthropic:
        return anthropic_stream.body_of(error, record.request_id)
    return openai_stream.body_of(error)


def own_headers(record: RequestRecord) -> list[tuple[str, str]]:
    """The headers of a response that only clients of this route's dialect look for
    (https://platform.claude.com/docs/en/api/rate-limits)."""
    if not record.of_anthropic:
        return []
    headers = [("request-id", record.request_id)]
    for rate in tightest(record.rates):
        name = "anthropic-ratelimit-" + rate.unit
        headers += [(f"{name}-limit", str(rate.limit)), (f"{name}-remaining", str(rate.left))]
        if rate.resets is not None:
            moment = datetime.now(UTC) + timedelta(seconds=rate.resets)
            headers.append((f"{name}-reset", f"{moment:%Y-%m-%dT%H:%M:%SZ}"))
    return headers
