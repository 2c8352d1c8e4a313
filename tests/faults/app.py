"""The gateway's own application with the failpoints in it: `gunicorn tests.faults.app:app`."""

import os
from pathlib import Path

from tests.faults import failpoints, inside
from wsgi import app

__all__ = ["app"]

failpoints.install(Path(os.environ[failpoints.VARIABLE]))
inside.sign(app)
if inside.LEASE in os.environ:
    inside.shorten(int(os.environ[inside.LEASE]))
