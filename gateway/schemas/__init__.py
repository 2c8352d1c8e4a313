"""The clients' side: from a dialect's JSON to `model` and back, one file a dialect."""
