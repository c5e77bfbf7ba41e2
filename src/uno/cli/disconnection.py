"""Disconnects a cell's host, and prints what stays since other programs need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from uno.agent import service
from uno.reconcile.kernel_parameters import IPV4_FORWARDING, IPV6_FORWARDING

if TYPE_CHECKING:
    from uno.ports.host import Action, Host


def disconnect(
    host: Host, *, forget: bool, progress: Callable[[str], None], quiet: bool
) -> tuple[Action, ...]:
    """Disconnect a host as `uno service down` does, and return the actions taken.

    Forwarding stays on for other programs that rely on it. Raises `UnoError`.
    """
    users = service.forwarding_users(host)
    actions = service.down(host, forget=forget, progress=progress, still_forwarded=users)
    for version, table in () if quiet else users.items():
        key = IPV4_FORWARDING if version == 4 else IPV6_FORWARDING
        print(
            f"this host still forwards IPv{version}: nftables table {table} translates addresses "
            f"for another program, such as docker; to end that: sysctl -w {key}=0"
        )
    return actions
