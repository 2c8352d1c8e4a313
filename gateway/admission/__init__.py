"""How much at once: limits per second to hour, and on calls in flight. It takes amounts and knows no price."""
