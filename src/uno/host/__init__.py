"""Adapters of `ports.host`: the Linux host, and a fake that prints itself."""
