"""That a target takes no call now, whatever the reason."""


class Unavailable(Exception):
    """A target takes no call now.

    Args:
        why: in a few words, for the log.
        seconds: after which it may.
    """

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.why = why
        self.seconds = seconds


class Resting(Unavailable):
    """All its credentials rest, as their provider has asked for. It is well, so a short rest is worth a wait."""
