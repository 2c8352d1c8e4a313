"""The service, unless a file says that it cannot start."""

from pathlib import Path

if Path("broken").exists():
    raise RuntimeError("broken on purpose")

from wsgi import app  # noqa: F401
