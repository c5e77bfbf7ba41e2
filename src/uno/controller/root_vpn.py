"""The registry as a node of its root VPN: its plan and keys to what it is to own on its host.

Pure. The registry may share a host with a cell. So its routes are in a table of their own, which
only packets from its own addresses use, and its nftables table has a name of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from msgspec.structs import replace

from uno.model import key_ids
from uno.model.key_ids import Secret
from uno.model.listening_ports import Transport, bus_transport
from uno.model.net import network_order
from uno.model.plan import BusPlan, Plan, PlannedCell, RootVpn
from uno.model.syntax import host_port
from uno.model.tunnel import Peer, Tunnel
from uno.ports.bus import REGISTRY_INDEX, listening
from uno.ports.host import Desired
from uno.render import nftables

# Administrators and distributions use tables up to 255. The rest of the number comes from the UVN's
# identity, so that the registries of two UVNs can share a host.
_FIRST_TABLE = 0x1000_0000


def desired(
    plan: Plan,
    secrets: Mapping[str, str],
    *,
    has_ipv6: bool = True,
    buses: Collection[BusPlan] = (),
) -> Desired:
    """Return what the registry of `plan` is to own on its host; nothing without a root VPN.

    `secrets` maps key ids to base64 keys: the registry's private key and the preshared key of each
    cell (`model.key_ids`). `has_ipv6`: the host's kernel has IPv6. `buses` are where the
    registry is beside that of `plan`. Raises KeyError where a key is missing.
    """
    root = plan.root
    if root is None:
        return Desired()
    addresses = (IPv4Interface(root.registry4), IPv6Interface(root.registry6))
    routes = (plan.pools.root, IPv6Network((root.registry6, 64), strict=False))
    peers = (
        _peer(cell, root, secrets, plan.public_keys[key_ids.root_pair(cell.member.id)])
        for cell in plan.cells
    )
    tunnel = Tunnel(
        name=root.registry_interface,
        private_key=Secret(secrets[key_ids.ROOT_REGISTRY]),
        mtu=root.mtu,
        addresses=addresses if has_ipv6 else addresses[:1],
        peers=tuple(sorted(peers, key=lambda peer: peer.public_key)),
        port=root.port if root.endpoint else None,
        routes=tuple(sorted(routes if has_ipv6 else routes[:1], key=network_order)),
        table=_FIRST_TABLE + int(plan.identity[:6], 16),
    )
    used = sorted({plan.bus, *buses}, key=lambda bus: bus.domain)
    ports = {
        transport: tuple(
            port
            for bus in used
            if bus_transport(bus) is transport
            for port in listening(bus, REGISTRY_INDEX)
        )
        for transport in Transport
    }
    ruleset = nftables.registry_ruleset(
        root,
        plan.pools,
        bus_ports=ports[Transport.UDP],
        bus_tcp_ports=ports[Transport.TCP],
        cells=(cell.member.node4 for cell in plan.cells),
    )
    return Desired(firewall=ruleset, tunnels=(tunnel,))


def with_members_of(plan: Plan, release: Plan) -> Plan:
    """Return `plan` with the cells of `release` alone: cells that left are no peers any more.

    Cells that `plan` does not have are as in `release`.
    """
    members = {cell.member.id: cell for cell in release.cells}
    kept = tuple(cell for cell in plan.cells if cell.member.id in members)
    known = {cell.member.id for cell in kept}
    added = tuple(cell for cell in release.cells if cell.member.id not in known)
    public = {**release.public_keys, **plan.public_keys}
    for cell in added:
        name = key_ids.root_pair(cell.member.id)
        public[name] = release.public_keys.get(name, "")
    return replace(plan, cells=(*kept, *added), public_keys=public)


def without(plan: Plan, cells: Collection[int]) -> Plan:
    """Return `plan` without `cells`."""
    kept = tuple(cell for cell in plan.cells if cell.member.id not in cells)
    return replace(plan, cells=kept)


def differs(one: Plan, other: Plan) -> bool:
    """Whether the root VPN of a cell of both plans has other keys or addresses in `other`."""
    return _common_part(one, other) != _common_part(other, one)


def moved_peers(old: Plan, new: Plan) -> frozenset[str]:
    """Return the public keys of cells that find the registry, or are found, elsewhere in `new`.

    A WireGuard session outlives such a change, and a peer keeps the address that packets came from.
    So only a new session shows that the new addresses lead to the other end.
    """
    before = {cell.member.id: cell for cell in old.cells}
    is_elsewhere = _place(old) != _place(new)

    def has_moved(cell: PlannedCell) -> bool:
        known = before.get(cell.member.id)
        if known is None:
            return False
        has_other_port = known.root_port != cell.root_port
        if has_other_port or _dialled(known) != _dialled(cell):
            return True
        return is_elsewhere and not _dialled(cell)

    moved = (cell.member.id for cell in new.cells if has_moved(cell))
    return frozenset(new.public_keys[key_ids.root_pair(cell)] for cell in moved)


def without_peers(desired: Desired, public_keys: Collection[str]) -> Desired:
    """Return `desired` without these peers, whose sessions end if it is made so."""
    tunnels = tuple(
        replace(tunnel, peers=tuple(it for it in tunnel.peers if it.public_key not in public_keys))
        for tunnel in desired.tunnels
    )
    return replace(desired, tunnels=tunnels)


def _place(plan: Plan) -> tuple[object, ...] | None:
    return (plan.root.endpoint, plan.root.port) if plan.root else None


def _dialled(cell: PlannedCell) -> str | None:
    """Return where the registry connects to a cell, None where the cell connects."""
    return cell.member.endpoint if cell.root_port else None


def _common_part(plan: Plan, other: Plan) -> tuple[object, ...]:
    both = {cell.member.id for cell in other.cells}
    cells = tuple(
        (
            cell.member.node4,
            cell.member.node6,
            plan.public_keys.get(key_ids.root_pair(cell.member.id)),
        )
        for cell in plan.cells
        if cell.member.id in both
    )
    return plan.root, plan.bus, plan.public_keys.get(key_ids.ROOT_REGISTRY), cells


def _peer(cell: PlannedCell, root: RootVpn, secrets: Mapping[str, str], public_key: str) -> Peer:
    member = cell.member
    is_initiator = bool(member.endpoint and cell.root_port)
    return Peer(
        public_key=public_key,
        psk=Secret(secrets[key_ids.root_psk(member.id)]),
        endpoint=host_port(member.endpoint or "", cell.root_port or 0) if is_initiator else None,
        allowed_ips=(IPv4Network(member.node4), IPv6Network(member.node6)),
        # The cell cannot initiate a handshake, should the registry be behind NAT.
        keepalive=root.keepalive if is_initiator else 0,
    )
