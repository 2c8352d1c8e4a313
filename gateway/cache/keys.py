"""The key of an answer: a digest of who asks, of whom, and of everything that bears on the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.model import ModelRequest

_FORM = 3  # of the entries; another one makes other keys


# Of requests that do not come as a chat: what is no part of them there either.
_HOW_AND_WHO = ("model", "stream", "stream_options", "metadata", "user", "safety_identifier")


def key_of(tenant: str, targets: Iterable[str], request: ModelRequest) -> str:
    """The key, 64 hex digits. However an answer is delivered, as a stream or whole, it is the same.

    Args:
        tenant: who pays; no two tenants ever share an answer.
        targets: everything that may answer, in any order.
        request: what is asked.
    """
    asked = [_FORM, tenant, sorted(targets), request.operation, request.dialect, request.headers, _asked(request)]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _asked(request: ModelRequest) -> Mapping[str, Any]:
    """What is asked. A vendor of another dialect than a chat's gets more of a request than stands in a chat."""
    if request.dialect == "openai" or request.body is None:
        return request.asked
    document = orjson.loads(request.body)
    metadata = document.get("metadata") if request.dialect == "responses" else None
    return {"metadata": metadata, **{name: document[name] for name in document if name not in _HOW_AND_WHO}}
