"""The configuration in force in this process.

Gunicorn's master reads it once and workers inherit it over fork, so that a file broken later cannot keep a
worker from starting. Without a master (Flask's own server, a shell) the first use reads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from gateway.config.loading import load
from gateway.config.settings import ConfigError, Settings

_FIXED = ("host", "port", "metrics_port", "workers")  # of a running master

_current: Settings | None = None
reload_error: str | None = None


def loaded() -> bool:
    """Whether there are settings in force."""
    return _current is not None


def current() -> Settings:
    """The settings in force.

    Raises:
        ConfigError: there are none yet and none can be read, or Gunicorn runs without its configuration file.
    """
    if _current is None and "gunicorn" in os.environ.get("SERVER_SOFTWARE", ""):
        raise ConfigError(["gunicorn.conf.py was not read: start Gunicorn in the directory that holds it"])
    return _current or reload()


def reload(check: Callable[[Settings], object] = lambda settings: None) -> Settings:
    """Read the configuration again; a broken one leaves the last good one in force, and the addresses and the number
    of workers stay those of the start in any case.

    Args:
        check: what else must hold; raises where it does not.

    Returns:
        The settings now in force; `reload_error` says why they are not the newest, or is None.

    Raises:
        ConfigError: the configuration is broken and there is no earlier one.
    """
    global _current, reload_error
    try:
        settings = load()
        if _current:
            settings = replace(settings, **{name: getattr(_current, name) for name in _FIXED})
        check(settings)
        _current, reload_error = settings, None
    except Exception as error:  # whatever it is, it must not end a running service
        if _current is None:
            raise
        reload_error = "; ".join(error.mistakes) if isinstance(error, ConfigError) else repr(error)
    return _current
