"""The forms on the wire that clients and vendors share: server-sent events, and the JSON of each dialect, made of
OpenAI's chat and made that again, so that every client reaches every vendor over the one form in between."""
