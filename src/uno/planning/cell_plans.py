"""The parts of a plan for its cells: the roster, the same for all, and a `CellPlan` for each."""

from __future__ import annotations

from msgspec.structs import replace

from uno.model import key_ids
from uno.model.plan import (
    BackbonePeer,
    CellPlan,
    Link,
    LinkEnd,
    Member,
    ParticlesHub,
    Plan,
    PlannedCell,
    RootPeer,
    Roster,
)
from uno.model.syntax import host_port, interface_name


def roster(plan: Plan) -> Roster:
    """Return the roster of `plan`."""
    return Roster(
        uvn=plan.uvn,
        identity=plan.identity,
        pools=plan.pools,
        timing=plan.timing,
        members=tuple(_with_key(plan, cell.member) for cell in plan.cells),
        links=tuple(sorted(link.cells for link in plan.links)),
    )


def _with_key(plan: Plan, member: Member) -> Member:
    return replace(member, sign_key=plan.public_keys.get(key_ids.cell_signing(member.id), ""))


def cell_plans(plan: Plan) -> dict[int, CellPlan]:
    """Return each cell's part of `plan`, by cell id. A key that does not exist yet is empty."""
    members = {cell.member.id: cell.member for cell in plan.cells}
    peers: dict[int, list[tuple[int, BackbonePeer]]] = {cell: [] for cell in members}
    for link in plan.links:
        for local, remote in ((link.a, link.b), (link.b, link.a)):
            peer = _backbone_peer(plan, link, members, local=local, remote=remote)
            peers[local.cell].append((local.slot, peer))
    return {
        cell.member.id: _cell_plan(plan, cell, sorted(peers[cell.member.id], key=_slot))
        for cell in plan.cells
    }


def _slot(item: tuple[int, BackbonePeer]) -> int:
    return item[0]


def _cell_plan(plan: Plan, cell: PlannedCell, peers: list[tuple[int, BackbonePeer]]) -> CellPlan:
    return CellPlan(
        uvn=plan.uvn,
        identity=plan.identity,
        cell=cell.member.id,
        name=cell.member.name,
        backbone_mtu=plan.backbone.mtu,
        backbone_allowed_ips=plan.backbone.allowed_ips,
        links=tuple(peer for _, peer in peers),
        root=_root_peer(plan, cell),
        particles=_particles_hub(plan, cell),
        bus=plan.bus,
        masquerades_nodes=plan.masquerades_nodes and bool(cell.member.lans),
        httpd_port=cell.httpd_port,
        web_files=cell.web_files,
        location=cell.location,
    )


def _backbone_peer(
    plan: Plan, link: Link, members: dict[int, Member], *, local: LinkEnd, remote: LinkEnd
) -> BackbonePeer:
    endpoint = members[remote.cell].endpoint
    dials = members[local.cell].endpoint is None
    return BackbonePeer(
        interface=interface_name(plan.backbone.interface, local.slot),
        cell=remote.cell,
        local4=local.address4,
        local6=local.address6,
        remote4=remote.address4,
        remote6=remote.address6,
        public_key=plan.public_keys.get(key_ids.link_pair(link.name, remote.cell), ""),
        key=key_ids.link_pair(link.name, local.cell),
        psk=key_ids.link_psk(link.name),
        import_origins=local.import_origins,
        port=local.port,
        endpoint=host_port(endpoint, remote.port) if endpoint and remote.port else None,
        keepalive=plan.backbone.keepalive if dials else 0,
    )


def _root_peer(plan: Plan, cell: PlannedCell) -> RootPeer | None:
    root = plan.root
    if root is None:
        return None
    # The registry connects to a public cell; a private cell connects to the registry.
    dials = cell.member.endpoint is None
    return RootPeer(
        interface=root.cell_interface,
        remote4=root.registry4,
        remote6=root.registry6,
        public_key=plan.public_keys.get(key_ids.ROOT_REGISTRY, ""),
        key=key_ids.root_pair(cell.member.id),
        psk=key_ids.root_psk(cell.member.id),
        mtu=root.mtu,
        port=cell.root_port,
        endpoint=host_port(root.endpoint, root.port)
        if dials and root.endpoint and root.port
        else None,
        keepalive=root.keepalive if dials else 0,
    )


def _particles_hub(plan: Plan, cell: PlannedCell) -> ParticlesHub | None:
    vpn = plan.particles_vpn
    if vpn is None or cell.particles_port is None:
        return None
    return ParticlesHub(
        interface=vpn.interface,
        address4=vpn.hub4,
        address6=vpn.hub6,
        port=cell.particles_port,
        mtu=vpn.mtu,
        key=key_ids.particles_hub_pair(cell.member.id),
        masquerade=vpn.masquerade,
    )
