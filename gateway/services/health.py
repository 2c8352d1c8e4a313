"""What works and what does not, from the latest results; asking costs nothing and touches nothing."""

from __future__ import annotations

from gateway.model import State, Status


class Health:
    """This worker's view.

    Args:
        checks: what is known at start, by name.
    """

    def __init__(self, checks: dict[str, State]) -> None:
        self._checks = checks

    def provider(self, name: str, state: State) -> None:
        """Remember how the latest call to a provider ended."""
        self._checks[f"provider:{name}"] = state

    def report(self) -> tuple[Status, dict[str, State]]:
        """The overall status, and the state of each dependency."""
        ready = all(state == "ok" for state in self._checks.values())
        return ("ready" if ready else "degraded"), dict(self._checks)
