"""uno joins LANs over the public Internet into one routing domain, a unified virtual network (UVN)."""

__version__ = "0.1.0"
