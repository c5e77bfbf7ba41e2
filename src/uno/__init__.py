"""uno joins LANs over the public Internet into one routing domain, a unified virtual network."""

__version__ = "0.1.0"
