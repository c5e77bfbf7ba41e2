"""Commands; the only place that chooses adapters."""
