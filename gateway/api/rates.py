"""The `x-ratelimit` headers, as OpenAI has them: of each unit, the limit that has least left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gateway.model import HEADED, Rate


def tightest(rates: Sequence[Rate]) -> Iterator[Rate]:
    """Of each unit that has headers, the limit that has least left."""
    for unit in HEADED if rates else ():
        of_unit = [rate for rate in rates if rate.unit == unit]
        if of_unit:
            yield min(of_unit, key=lambda rate: rate.left)


def rate_headers(rates: Sequence[Rate]) -> list[tuple[str, str]]:
    """The headers for a call on which these limits bear."""
    headers = []
    for rate in tightest(rates):
        unit = rate.unit
        headers += [(f"x-ratelimit-limit-{unit}", str(rate.limit)), (f"x-ratelimit-remaining-{unit}", str(rate.left))]
        if rate.resets is not None:
            headers.append((f"x-ratelimit-reset-{unit}", duration(rate.resets)))
    return headers


def duration(seconds: float) -> str:
    """Seconds, rounded up, as Go writes them.

    >>> duration(0.2), duration(60), duration(360), duration(7205)
    ('1s', '1m0s', '6m0s', '2h0m5s')
    """
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"
