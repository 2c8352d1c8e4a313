"""What the gateway does, free of dialects and of Flask."""
