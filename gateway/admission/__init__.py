"""Whether there is room for a call under the limits that count requests, tokens and calls in flight."""
