"""Where state is kept: on this host, or on a server for several. Nothing of a driver gets out of here."""


class StoreError(Exception):
    """A store did not do what it was asked to: it is down, slow, full or broken."""
