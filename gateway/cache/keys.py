"""The key of an answer: a digest of who asks, of whom, and of everything that bears on the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import fields

import orjson

from gateway.model import ChatRequest

_FORM = 1  # of the entries; another one makes other keys

# Every field bears on the answer but these: a field added later is in the key until somebody says otherwise.
_NOT_IN_KEY = {"model", "user_id"}  # the model is there as the targets that it means
_SEMANTIC = [field.name for field in fields(ChatRequest) if field.name not in _NOT_IN_KEY]


def key_of(tenant: str, targets: Iterable[str], request: ChatRequest) -> str:
    """The key, 64 hex digits.

    Args:
        tenant: who pays; no two tenants ever share an answer.
        targets: everything that may answer, in any order.
        request: what is asked.
    """
    asked = [getattr(request, name) for name in _SEMANTIC]
    return hashlib.sha256(orjson.dumps([_FORM, tenant, sorted(targets), asked])).hexdigest()
