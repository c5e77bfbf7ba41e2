"""DDS domains for tests of the bus that use the loopback."""

from __future__ import annotations

import random
import socket

from uno.ports.bus import ports

_CHANCE = random.Random()  # noqa: S311 - not for security
# Nodes that a test has at most.
_NODES = 3


def free_domain() -> int:
    """Return a DDS domain whose ports are free, also of other runs of these tests."""
    while True:
        found = _CHANCE.randrange(50, 190)
        if all(is_free(port) for index in range(_NODES) for port in ports(found, index)):
            return found


def is_free(port: int) -> bool:
    """Whether no program has a UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
