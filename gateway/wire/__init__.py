"""The forms on the wire that clients and vendors share: server-sent events, and OpenAI's JSON."""
