"""Gunicorn around the service: its master, its workers and what both need before they start."""
