"""A LAN as its cell found it on the host."""

from __future__ import annotations

from msgspec import Struct

from uno.model.net import Network


class AttachedLan(Struct, frozen=True, kw_only=True):
    """A declared LAN and the host's interface to it.

    `exact`: the interface's own subnet is the LAN, so that the kernel has a connected route for
    the whole of it.
    """

    network: Network
    nic: str
    exact: bool = True
