"""What every route that asks a model does alike, whatever its dialect: headers in, the answer, headers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, g, request

from gateway.api.arriving import deadline
from gateway.api.lean import Whole
from gateway.errors import UpstreamError
from gateway.model import Answer, CachePolicy, ModelRequest, usd
from gateway.services.exchange import Exchange
from gateway.services.inference import Inference
from gateway.services.relay import Writer
from gateway.telemetry.record import RequestRecord
from gateway.wire import sse

_ANY = CachePolicy(read=True, store=True)


def answer(inference: Inference, asked: ModelRequest, write: Callable[[Answer], bytes], writer: Writer) -> Response:
    """Ask a model and answer the client.

    Args:
        inference: the spine.
        asked: the request.
        write: writes a whole answer in the client's dialect.
        writer: writes a stream in it.

    Raises:
        GatewayError: there is no answer.
    """
    record: RequestRecord = g.record
    if not asked.stream:
        whole = inference.complete(exchange(asked))
        headers = gateway_headers(record)
        if whole.cost_nano is not None:
            headers["x-gateway-cost-usd"] = usd(whole.cost_nano)
        try:
            body = write(whole)
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise UpstreamError("The provider's answer cannot be put into the words of this API.") from error
        return Whole(body, headers)
    relay = inference.stream(exchange(asked), writer)
    # a provider that is still silent may yet be replaced
    headers = gateway_headers(record) if relay.start() else {"x-gateway-cache": record.cache or ""}
    headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return Response(relay, mimetype=sse.MEDIA_TYPE, headers=headers)


def exchange(asked: ModelRequest) -> Exchange:
    """A request with all that its headers say of it. Raises InvalidRequest."""
    record, environ = g.record, request.environ
    client = environ.get("gunicorn.socket")
    return Exchange(asked, g.caller, _cache_policy(environ), record, deadline(environ, record), client)


def _cache_policy(environ: Mapping[str, Any]) -> CachePolicy:
    """`no-cache` asks for a fresh answer, `no-store` also that it is not kept (RFC 9111, section 5.2.1)."""
    given = environ.get("HTTP_CACHE_CONTROL")
    if not given:
        return _ANY
    directives = {directive.strip().lower() for directive in given.split(",")}
    no_store = "no-store" in directives
    return CachePolicy(read=not no_store and "no-cache" not in directives, store=not no_store)


def gateway_headers(record: RequestRecord) -> dict[str, str]:
    """What a response says of the way that its request took."""
    headers = {
        "x-gateway-model": f"{record.provider}/{record.model}",
        "x-gateway-cache": record.cache or "",
        "x-gateway-attempts": str(record.attempts),
        "x-gateway-overhead-ms": str(record.overhead_ms),
    }
    if record.dropped:
        headers["x-gateway-dropped"] = ", ".join(record.dropped)
    if record.upstream_request_id:
        headers["x-gateway-upstream-request-id"] = record.upstream_request_id
    return headers
