"""Logs, metrics and what is recorded of a request."""
