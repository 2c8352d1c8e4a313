"""Measures the gateway against a fake upstream on this machine; see README.md beside this file."""
