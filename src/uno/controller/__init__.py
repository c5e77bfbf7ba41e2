"""The registry's agent: rolls released generations out to cells, and reconciles the root VPN."""
