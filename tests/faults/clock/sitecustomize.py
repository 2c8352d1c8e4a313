"""Lets a test set the time of day of a whole service: Python imports this first wherever it is on the path. It is as
far off as the file says that FAULTS_CLOCK names; the monotonic clock, which nobody can set, goes on as ever."""

import os
import time
from pathlib import Path

_ahead = Path(os.environ["FAULTS_CLOCK"])
_real = time.time_ns


def _time_ns() -> int:
    return _real() + int(_ahead.read_text()) * 10**9


time.time_ns = _time_ns
time.time = lambda: _time_ns() / 10**9
