"""Observes the host, reconciles it with the running package, and reports its state."""
