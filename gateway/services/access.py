"""Who may ask for which model."""

from __future__ import annotations

from gateway.errors import ModelNotAllowed
from gateway.model import Caller
from gateway.routing.router import Router


def check_access(caller: Caller, router: Router, model: str | None) -> None:
    """Raise ModelNotAllowed where the caller may not ask for `model`, whether there is one or not."""
    if caller.models is not None and not caller.may_ask(*router.asked_for(model)):
        raise ModelNotAllowed(param="model")
