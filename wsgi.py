"""`gunicorn wsgi:app`."""

from gateway.app import create_app
from gateway.config import snapshot
from gateway.telemetry import logs

settings = snapshot.current()
logs.configure(settings)
app = create_app(settings)
