"""Real coding agents through the gateway, against fake vendors: `python -m bench.agents`."""
