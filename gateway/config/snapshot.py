"""The configuration in force in this process.

Gunicorn's master reads it once and workers inherit it over fork, so that a file broken later cannot keep a
worker from starting. Without a master (Flask's own server, a shell) the first use reads it.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.config.loading import load
from gateway.config.settings import ConfigError, Settings

_current: Settings | None = None
reload_error: str | None = None


def current() -> Settings:
    """The settings in force. Raises ConfigError where there are none yet and none can be read."""
    return _current or reload()


def reload(check: Callable[[Settings], object] = lambda settings: None) -> Settings:
    """Read the configuration again; a broken one leaves the last good one in force.

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
        check(settings)
        _current, reload_error = settings, None
    except Exception as error:  # whatever it is, it must not end a running service
        if _current is None:
            raise
        reload_error = "; ".join(error.mistakes) if isinstance(error, ConfigError) else repr(error)
    return _current
