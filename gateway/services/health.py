"""What works and what does not, from the latest results; asking costs nothing and touches nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway import draining
from gateway.model import State, Status


class Health:
    """This worker's view.

    Args:
        checks: what is known at start, by name.
        providers: says how each of them fares.
    """

    def __init__(self, checks: dict[str, State], providers: Callable[[], Mapping[str, State]] = dict) -> None:
        self._checks = checks
        self._providers = providers

    def cache(self, works: bool) -> None:
        """Remember how the cache was found."""
        self._checks["cache"] = "ok" if works else "down"

    def counters(self, works: bool) -> None:
        """Remember whether the shared counters work; without them each process keeps to its share of the limits."""
        self._checks["counters"] = "ok" if works else "degraded"

    def ledger(self, works: bool) -> None:
        """Remember whether the latest transaction was committed."""
        self._checks["ledger"] = "ok" if works else "down"

    def report(self) -> tuple[Status, dict[str, State]]:
        """The overall status, and the state of each dependency."""
        checks = self._checks | {f"provider:{name}": state for name, state in self._providers().items()}
        if draining.begun():
            return "draining", checks
        if checks.get("ledger") == "down":
            return "unavailable", checks
        return ("ready" if all(state == "ok" for state in checks.values()) else "degraded"), checks
