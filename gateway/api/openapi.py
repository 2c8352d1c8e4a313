"""The service as OpenAPI 3.1, from its routes, its schemas and its tree of errors.

A view is described where it stands, by `describe` below its route; none may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask

from gateway import __version__
from gateway.api.hooks import METRICS, OPEN
from gateway.errors import (
    AnswerTooLarge,
    BudgetHeld,
    CredentialRefused,
    GatewayError,
    InsufficientQuota,
    InvalidField,
    InvalidRequest,
    LedgerUnavailable,
    ModelNotAllowed,
    ModelNotFound,
    NoProviderAvailable,
    Overloaded,
    ProviderFailed,
    ProviderRefused,
    RateLimited,
    RequestTimeout,
    RequestTooLarge,
    TooManyGuesses,
    Unauthorized,
    UnsupportedMediaType,
    UpstreamError,
    UpstreamTimeout,
)
from gateway.model import HEADED
from gateway.schemas.answers import ErrorSchema
from gateway.wire import sse

View = TypeVar("View", bound=Callable[..., Any])

_SECURITY_SCHEMES = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same key. For `/metrics` its `METRICS_TOKEN`."},
}

_PARAMETERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "The request's id, if it is 1 to 128 of `A-Z a-z 0-9 . _ -`; else the gateway makes one.",
        "schema": {"type": "string"},
    },
    "x-gateway-timeout-ms": {
        "description": "Milliseconds after which the client stops waiting; can only shorten the gateway's own.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    },
    "Cache-Control": {
        "description": "`no-cache`: not from the cache, but keep the answer there; `no-store`: neither.",
        "schema": {"type": "string"},
    },
}

_HEADERS: dict[str, tuple[str, str]] = {
    "X-Request-ID": ("string", "The request's id, as in the gateway's log."),
    "x-gateway-model": ("string", "`provider/model` that answered, or failed to."),
    "x-gateway-cache": ("string", "`hit`, `miss`, or `bypass` where the cache is off or was not to be read."),
    "x-gateway-attempts": ("integer", "Calls to providers that it took."),
    "x-gateway-overhead-ms": ("number", "The gateway's own share of the time."),
    "x-gateway-cost-usd": ("number", "What a whole answer cost; absent for a model without a price."),
    "x-gateway-dropped": ("string", "What of the request was left out, since the provider's API has nothing like it."),
    "x-gateway-upstream-request-id": ("string", "The provider's own id of the call, if it gave one."),
    **{
        f"x-ratelimit-{what}-{unit}": (type_, f"{meaning} of {unit} that has least left; absent where there is none.")
        for unit in HEADED
        for what, type_, meaning in (
            ("limit", "integer", "The limit"),
            ("remaining", "integer", "What is left of the limit"),
            ("reset", "string", "When nothing used so far counts any more, as `6m0s`: of the limit"),
        )
    },
    "Retry-After": ("integer", "Seconds after which another try may succeed, if known."),
    "x-should-retry": ("boolean", "Whether to try again, where the status alone would mislead; SDKs obey it."),
}

# Headers that tell what a request met on its way.
_OF_THE_WAY = tuple(name for name in _HEADERS if name.startswith("x-gateway-") and name != "x-gateway-cost-usd")

# Headers that tell how limits stand.
_OF_LIMITS = tuple(name for name in _HEADERS if name.startswith("x-ratelimit-"))

# Headers of failures, and of which.
_OF_PROVIDERS = (ProviderRefused, UpstreamError, UpstreamTimeout)
_WITH_LIMITS = (InsufficientQuota, BudgetHeld, *_OF_PROVIDERS)
_OF_FAILURES: dict[str, Callable[[type[GatewayError]], bool]] = {
    **dict.fromkeys(_OF_THE_WAY, lambda error: issubclass(error, _OF_PROVIDERS)),
    "x-gateway-attempts": lambda error: issubclass(error, (NoProviderAvailable, *_OF_PROVIDERS)),
    **dict.fromkeys(
        _OF_LIMITS,
        lambda error: error is RateLimited or issubclass(error, _WITH_LIMITS),
    ),
    "Retry-After": lambda error: error.retryable or error.status in (429, 503),
    "x-should-retry": lambda error: error is RateLimited or error.client_may_retry is not None,
}

# What every route that asks a model has in common, whatever its dialect.
ASKS_A_MODEL: dict[str, Any] = {
    "parameters": ("x-gateway-timeout-ms", "Cache-Control"),
    "headers": (*_OF_THE_WAY, "x-gateway-cost-usd", *_OF_LIMITS),
    "errors": (
        InvalidRequest, InvalidField, ModelNotAllowed, ModelNotFound, RequestTimeout, RequestTooLarge,
        UnsupportedMediaType, RateLimited, InsufficientQuota, BudgetHeld, LedgerUnavailable, Overloaded,
        ProviderRefused, UpstreamError, ProviderFailed, CredentialRefused, AnswerTooLarge, UpstreamTimeout,
        NoProviderAvailable,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Description:
    operation: dict[str, Any]
    errors: tuple[type[GatewayError], ...]
    statuses: Mapping[type[GatewayError], int]
    failure: Any


def describe(
    summary: str,
    *,
    answer: Any,
    media_type: str = "application/json",
    request: Any = None,
    parameters: Iterable[Any] = (),
    headers: Iterable[str] = (),
    responses: Mapping[int, Any] | None = None,
    errors: Iterable[type[GatewayError]] = (),
    statuses: Mapping[type[GatewayError], int] | None = None,
    streams: str | None = None,
    failure: Any = ErrorSchema,
) -> Callable[[View], View]:
    """Describe a view. What all routes share (tag, security, X-Request-ID, 401, 500) is added by `document`.

    Args:
        summary: what it does, in a few words.
        answer: the marshmallow schema class of what comes with 200, or a JSON schema.
        media_type: of the answer.
        request: the marshmallow schema class of the JSON body. Where a schema has an `example`, that is shown.
        parameters: names from `_PARAMETERS`, or Parameter Objects.
        headers: names from `_HEADERS` that come with 200.
        responses: any further Response Objects by their status.
        errors: how it can fail.
        statuses: the statuses that this route gives to errors instead of their own.
        streams: what comes instead where the request asks for a stream, if it can.
        failure: the marshmallow schema class of a failure.

    Returns:
        A decorator that leaves the view as it is.
    """
    content = _content(answer, media_type)
    if streams:
        content[sse.MEDIA_TYPE] = {"schema": {"type": "string", "description": streams}}
    ok = {"description": "OK", "content": content, "headers": _references(headers)}
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": [*parameters, "X-Request-ID"],
        "responses": {200: ok, **(responses or {})},
    }
    if request:
        operation["requestBody"] = {"required": True, "content": _content(request)}

    def attach(view: View) -> View:
        vars(view)["description"] = _Description(operation, tuple(errors), statuses or {}, failure)
        return view

    return attach


def document(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of `app`.

    Raises:
        LookupError: the view of a route is not described.
    """
    spec = APISpec(
        "LLM gateway",
        __version__,
        "3.1.0",
        plugins=[MarshmallowPlugin()],
        info={"description": "One address and one key between applications and LLM providers."},
        security=[{"apiKey": []}, {"bearer": []}],
    )
    for name, scheme in _SECURITY_SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    for name, parameter in _PARAMETERS.items():
        spec.components.parameter(name, "header", {"name": name, **parameter})
    for name, (type_, meaning) in _HEADERS.items():
        spec.components.header(name, {"description": meaning, "schema": {"type": type_}})
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.endpoint in OPEN):  # first what people come for
        description: _Description | None = vars(app.view_functions[rule.endpoint]).get("description")
        if description is None:
            raise LookupError(f"{rule.endpoint} is not described; see {describe.__module__}.describe")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            path = re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule)
            spec.path(path, operations={method.lower(): _operation(rule.endpoint, description)})
    described: dict[str, Any] = spec.to_dict()
    return described


def _operation(endpoint: str, description: _Description) -> dict[str, Any]:
    """One Operation Object, for apispec to write into."""
    operation = deepcopy(description.operation)
    operation["tags"] = [endpoint.partition(".")[0]]
    errors = [*description.errors, GatewayError]
    if endpoint in OPEN:
        operation["security"] = [{}, {"bearer": []}] if endpoint == METRICS else []
    if endpoint not in OPEN or endpoint == METRICS:
        errors += [Unauthorized, InvalidRequest, TooManyGuesses, LedgerUnavailable]  # two headers, guesses, no answer
    responses = operation["responses"] | _failures(errors, description.statuses, description.failure)
    for response in responses.values():
        response["headers"] = _references(["X-Request-ID"]) | response.get("headers", {})
    operation["responses"] = dict(sorted(responses.items()))
    return operation


def _failures(
    errors: Iterable[type[GatewayError]], statuses: Mapping[type[GatewayError], int], schema: Any
) -> dict[int, Any]:
    by_status: dict[int, set[type[GatewayError]]] = {}
    for error in errors:
        own = ProviderRefused.statuses if error is ProviderRefused else [statuses.get(error, error.status)]
        for status in own:
            by_status.setdefault(status, set()).add(error)
    return {status: _failure(status, found, schema) for status, found in by_status.items()}


def _failure(status: int, errors: set[type[GatewayError]], schema: Any) -> dict[str, Any]:
    codes = {code for error in errors for code in (error.code, *error.other_codes)}
    reasons = [f"`{code}`" for code in sorted(codes)]
    if ProviderRefused in errors:
        reasons.append("the provider's own answer where it refuses the request")
        schema = {"anyOf": [schema, {"type": ["object", "array"]}]}
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(reasons)}",
        "content": _content(schema),
        "headers": _references(name for name, applies in _OF_FAILURES.items() if any(map(applies, errors))),
    }


def _content(schema: Any, media_type: str = "application/json") -> dict[str, Any]:
    example = {"example": schema.example} if hasattr(schema, "example") else {}
    return {media_type: {"schema": schema, **example}}


def _references(names: Iterable[str]) -> dict[str, str]:
    """apispec takes a component's name for a reference to it."""
    return {name: name for name in names}
