"""The keys of `API_KEY`, all of tenant `default`, and those that operators make."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence

from gateway.config import Secret
from gateway.errors import Unauthorized
from gateway.model import Caller
from gateway.policy.keys import DEFAULT_TENANT, VirtualKey, named_by

_NOBODY = bytes(32)  # a hash that no credential has


class Keys:
    """Compares digests, as often for a wrong credential as for a right one, so that neither a key's text nor its place
    shows in the time taken.

    Args:
        static: the keys of `API_KEY`.
        find: the virtual key of an id, if there is one in force. Raises LedgerUnavailable.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        static: Sequence[Secret],
        find: Callable[[str], VirtualKey | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        digests = [hashlib.sha256(key.reveal().encode()).digest() for key in static]
        self._callers = [(digest, Caller(DEFAULT_TENANT, f"env-{digest.hex()[:8]}")) for digest in digests]
        self._find = find
        self._clock = clock

    def authenticate(self, credentials: Sequence[bytes]) -> Caller:
        """The caller whom any of `credentials` stands for; coding agents send two, of which one is ours.

        Raises:
            Unauthorized: none is valid.
            LedgerUnavailable: it is not known whether one is.
        """
        shown = [(credential, hashlib.sha256(credential).digest()) for credential in credentials]
        caller: Caller | None = None
        for _, digest in shown:
            for expected, owner in self._callers:
                if hmac.compare_digest(expected, digest):
                    caller = owner
        for credential, digest in shown:
            if caller is None and (key_id := named_by(credential)):
                caller = self._of_key(key_id, digest)
        if caller is None:
            raise Unauthorized
        return caller

    def _of_key(self, key_id: str, digest: bytes) -> Caller | None:
        key, now_ms = self._find(key_id), self._clock() * 1000
        matches = hmac.compare_digest(key.hash if key else _NOBODY, digest)
        before = hmac.compare_digest((key and key.old_hash) or _NOBODY, digest)
        if key is None or key.state(int(now_ms)) != "active":
            return None
        if matches or (before and key.old_until_ms is not None and now_ms < key.old_until_ms):
            return Caller(key.tenant, key.id, key.role, key.models)
        return None
