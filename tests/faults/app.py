"""The gateway's own application with the failpoints in it: `gunicorn tests.faults.app:app`."""

import os
from pathlib import Path

from tests.faults import failpoints, leases
from wsgi import app

__all__ = ["app"]

failpoints.install(Path(os.environ[failpoints.VARIABLE]))
if leases.VARIABLE in os.environ:
    leases.shorten(int(os.environ[leases.VARIABLE]))
