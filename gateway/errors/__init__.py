"""Every way a request can fail, in one tree. Each class says its status, its code and whether another
attempt at the same target or the next one can help; the message is written for the client to read.

    GatewayError                 500 internal_error
    ├── InvalidRequest           400 the request as a whole: invalid_json, json_too_deep, duplicate_key, ...
    ├── InvalidField             400 one field of its body: invalid_type, invalid_value, missing_required_parameter, ...
    ├── Unauthorized             401 invalid_api_key
    ├── ModelNotAllowed          403 model_not_allowed: whether there is such a model or not
    ├── NotFound                 404 not_found
    │   └── ModelNotFound        404 model_not_found
    ├── MethodNotAllowed         405 method_not_allowed
    ├── RequestTooLarge          413 request_too_large
    ├── RequestTimeout           408 request_timeout
    ├── UnsupportedMediaType     415 unsupported_media_type
    ├── NoWebSockets             426 websockets_unsupported
    ├── InvalidHttp              400 invalid_http: the framing, before there is a request
    │   ├── UriTooLong           414 uri_too_long
    │   ├── UnsupportedExpectation     417 unsupported_expectation
    │   ├── HeadersTooLarge      431 headers_too_large
    │   └── UnsupportedTransferCoding  501 unsupported_transfer_coding
    ├── RateLimited              429 rate_limit_exceeded
    │   └── TooManyGuesses       429 the same, for wrong keys
    ├── InsufficientQuota        429 insufficient_quota: a limit is spent
    ├── BudgetHeld               429 budget_held: calls in flight hold what is left of it
    ├── LedgerUnavailable        503 ledger_unavailable
    ├── Overloaded               503 overloaded: a worker has as many calls as it takes
    ├── ProviderRefused          4xx the provider's own answer about the request, handed on as it came
    ├── UpstreamError            502 upstream_error
    │   ├── ProviderFailed       502 it said so itself, with a 5xx or under a success
    │   ├── CredentialRested     502 the gateway's own, which is left alone for a while
    │   │   ├── ProviderBusy     502 429: called too often
    │   │   ├── QuotaSpent       502 402, or 429 for what is spent
    │   │   ├── CredentialForbidden    502 403: not this model, or not this request
    │   │   └── CredentialRefused      502 401, which only the operator can mend
    │   ├── AnswerTooLarge       502 more than the gateway takes; bought all the same
    │   ├── UpstreamUnreachable  502 not connected: nothing was sent
    │   └── ConnectionBroke      502 before the response's headers were there
    │       └── StaleConnection  502 a kept-alive connection ended before one byte of response
    ├── UpstreamTimeout          504 upstream_timeout
    │   ├── ConnectTimeout       504 not connected in time: nothing was sent
    │   └── DeadlinePassed       504 the client's own, before anybody was called
    ├── NoProviderAvailable      503 no_provider_available: all are left alone, or have no room
    ├── ClientLeft               499 client_left: nobody is told
    └── CutOff                   503 cut_off: by a stop that could not wait longer
"""

from __future__ import annotations

from gateway.errors.base import (
    GatewayError,
)
from gateway.errors.framing import (
    HeadersTooLarge,
    InvalidHttp,
    UnsupportedExpectation,
    UnsupportedTransferCoding,
    UriTooLong,
)
from gateway.errors.requests import (
    BudgetHeld,
    InsufficientQuota,
    InvalidField,
    InvalidRequest,
    LedgerUnavailable,
    MethodNotAllowed,
    ModelNotAllowed,
    ModelNotFound,
    NotFound,
    NoWebSockets,
    Overloaded,
    RateLimited,
    RequestTimeout,
    RequestTooLarge,
    TooManyGuesses,
    Unauthorized,
    UnsupportedMediaType,
)
from gateway.errors.upstream import (
    AnswerTooLarge,
    ClientLeft,
    ConnectionBroke,
    ConnectTimeout,
    CredentialForbidden,
    CredentialRefused,
    CredentialRested,
    CutOff,
    DeadlinePassed,
    NoProviderAvailable,
    ProviderBusy,
    ProviderFailed,
    ProviderRefused,
    QuotaSpent,
    StaleConnection,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)

__all__ = [
    "AnswerTooLarge",
    "BudgetHeld",
    "ClientLeft",
    "ConnectTimeout",
    "ConnectionBroke",
    "CredentialForbidden",
    "CredentialRefused",
    "CredentialRested",
    "CutOff",
    "DeadlinePassed",
    "GatewayError",
    "HeadersTooLarge",
    "InsufficientQuota",
    "InvalidField",
    "InvalidHttp",
    "InvalidRequest",
    "LedgerUnavailable",
    "MethodNotAllowed",
    "ModelNotAllowed",
    "ModelNotFound",
    "NoProviderAvailable",
    "NoWebSockets",
    "NotFound",
    "Overloaded",
    "ProviderBusy",
    "ProviderFailed",
    "ProviderRefused",
    "QuotaSpent",
    "RateLimited",
    "RequestTimeout",
    "RequestTooLarge",
    "StaleConnection",
    "TooManyGuesses",
    "Unauthorized",
    "UnsupportedExpectation",
    "UnsupportedMediaType",
    "UnsupportedTransferCoding",
    "UpstreamError",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "UriTooLong",
]
