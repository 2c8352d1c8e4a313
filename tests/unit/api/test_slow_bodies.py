"""How slowly a body may come."""

from __future__ import annotations

import time

import pytest

from gateway.api import body
from gateway.errors import RequestTimeout
from gateway.telemetry.record import RequestRecord

SIZE = 1_000_000


class Dripping:
    """A body that comes at once but for its end, of which a byte comes every 50 ms."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once

    def read(self, most: int) -> bytes:
        if self._at_once:
            given = min(most, self._at_once)
            self._at_once -= given
            return b"x" * given
        time.sleep(0.05)
        return b"x"


@pytest.mark.parametrize("at_once", [0, SIZE // 2])
def test_who_has_sent_much_at_once_may_not_drip_for_longer_than_others(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "_STALLED_SECONDS", 0.3)
    environ = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(SIZE), "wsgi.input": Dripping(at_once)}
    began = time.monotonic()
    with pytest.raises(RequestTimeout):
        body.read_json(environ, SIZE, RequestRecord("r", "POST", "/inference"))
    assert time.monotonic() - began < 3, "half a megabyte would be worth fifteen seconds"
