"""uno's own FRR daemons: starting, reloading and reading them."""
