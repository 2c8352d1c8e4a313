"""The key of an answer: a digest of who asks, of whom, and of everything that bears on the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import orjson

from gateway.model import ModelRequest

_FORM = 3  # of the entries; another one makes other keys


def key_of(tenant: str, targets: Iterable[str], request: ModelRequest) -> str:
    """The key, 64 hex digits. However an answer is delivered, as a stream or whole, it is the same.

    Args:
        tenant: who pays; no two tenants ever share an answer.
        targets: everything that may answer, in any order.
        request: what is asked.
    """
    asked = [_FORM, tenant, sorted(targets), request.operation, request.dialect, request.headers, request.asked]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
