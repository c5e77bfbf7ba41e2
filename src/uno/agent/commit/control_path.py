"""What carries the registry's messages to a cell: the root VPN, and the cell's place on the bus.

Pure. A package that changes it may cut the cell off from the one who would have to mend that.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from msgspec import Struct
from msgspec.structs import replace

from uno.model.package import Package
from uno.model.plan import BusPlan, RootPeer


class ControlPath(Struct, frozen=True, kw_only=True):
    """The way of the registry's messages to a cell.

    `endpoint` is the cell's own, which the registry connects to, and `keys` are the cell's own for
    the root VPN.
    """

    bus: BusPlan
    address: IPv4Address
    endpoint: str | None = None
    root: RootPeer | None = None
    keys: tuple[str, ...] = ()


def control_path(package: Package) -> ControlPath:
    """Return the control path of a package's cell; what is equal carries messages equally."""
    plan, own = package.plan, package.own
    root = plan.root
    keys: tuple[str, ...] = ()
    if root is not None:
        keys = tuple(package.secrets.get(name, "") for name in (root.key, root.psk))
        # Neither decides whether a message arrives.
        root = replace(root, interface="", keepalive=0)
    return ControlPath(bus=plan.bus, address=own.node4, endpoint=own.endpoint, root=root, keys=keys)


def moves_control(old: Package, new: Package) -> bool:
    """Whether `new` changes what carries the registry's messages."""
    return control_path(old) != control_path(new)


def moves_root_vpn(old: Package, new: Package) -> bool:
    """Whether `new` changes how the cell and the registry find each other in the root VPN.

    A WireGuard session outlives such a change, and its peers keep the addresses that packets came
    from. So only a new session shows that the new addresses lead to the other end.
    """
    return _place(old) != _place(new)


def _place(package: Package) -> tuple[object, ...]:
    root = package.plan.root
    return package.own.endpoint, root and (root.endpoint, root.port)
