"""Observed interfaces, as the values that they were configured with."""

from __future__ import annotations

from msgspec.structs import replace

from uno.host.host_state import TunnelNote
from uno.host.netlink import interface_changes, inventory
from uno.host.wireguard import interfaces
from uno.model.net import Address
from uno.model.tunnel import Tunnel
from uno.ports.host import NodeInterface


def node(each: inventory.Interface, routes: inventory.OwnRoutes) -> NodeInterface:
    """Return the node interface that was found, with its blackhole routes."""
    addresses = tuple(a for a in each.addresses if not a.ip.is_link_local)
    blackhole_routes = routes.into.get(each.index, ())
    return NodeInterface(name=each.name, addresses=addresses, blackhole_routes=blackhole_routes)


def tunnel(
    each: inventory.Interface,
    dump: interfaces.Dump,
    note: TunnelNote,
    *,
    routes: inventory.OwnRoutes,
    rules: frozenset[tuple[Address, int]],
) -> Tunnel:
    """Return a tunnel as it was configured; `rules` are those of all of uno's tables."""
    found = Tunnel(
        name=each.name,
        private_key=dump.private_key,
        mtu=each.mtu,
        addresses=tuple(a for a in each.addresses if not a.ip.is_link_local),
        peers=tuple(
            replace(peer, endpoint=note.endpoints.get(peer.public_key)) for peer in dump.peers
        ),
        port=note.port and dump.port,
        mark=dump.mark,
        routes=routes.into.get(each.index, ()),
    )
    if note.table is None:
        return found
    aside = replace(found, routes=routes.aside.get((each.index, note.table), ()), table=note.table)
    # Without its rules the table has no effect: None makes the diff configure it again.
    return aside if rules_of(aside) <= rules else replace(aside, table=None)


def rules_of(tunnel: Tunnel) -> frozenset[tuple[Address, int]]:
    """Return the rules that a tunnel with a table of its own needs: by source address."""
    if tunnel.table is None:
        return frozenset()
    return frozenset((each.ip, tunnel.table) for each in tunnel.addresses)


def route_lines(tunnel: Tunnel, before: Tunnel | None) -> list[str]:
    """Return the lines for `ip -batch` that turn the routes of `before` into those of `tunnel`."""
    name, table = tunnel.name, tunnel.table
    routes = before.routes if before else ()
    kept = routes if before and before.table == table else ()
    lines = [
        interface_changes.remove_route(name, each, table=before.table)
        for each in routes
        if before and (each not in tunnel.routes or each not in kept)
    ]
    lines += [
        interface_changes.add_route(name, r, table=table) for r in tunnel.routes if r not in kept
    ]
    return lines
