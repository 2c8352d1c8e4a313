"""`gunicorn wsgi:app`."""

import sys

from gateway.app import create_app
from gateway.config import ConfigError, snapshot
from gateway.telemetry import logs

try:
    settings = snapshot.current()
except ConfigError as error:
    print(error, file=sys.stderr)
    sys.exit(3)  # Gunicorn's code for a worker that is not worth another try
logs.configure(settings)
app = create_app(settings)
