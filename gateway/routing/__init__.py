"""From the model's name that a client asked for to the targets that may answer."""
