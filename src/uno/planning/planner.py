"""From a definition and its parent plan to the next plan. The first module to read here.

Decisions of the parent are kept as long as the definition allows. A change of one cell never
changes another cell's addresses, nor numbers, slots, ports and keys of links that are kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from uno.diagnostics import refuse_errors
from uno.model import key_ids
from uno.model.net import network_order
from uno.model.plan import (
    BackboneVpn,
    BusPlan,
    CertificateFiles,
    Member,
    ParticlesVpn,
    Plan,
    PlannedCell,
    PlannedParticle,
    Pools,
    RootVpn,
    Timing,
)
from uno.model.syntax import interface_name
from uno.model.uvn import Cell, Particle, Settings, TimingProfile, Uvn, WebSettings
from uno.planning.allocation import addresses
from uno.planning.allocation.link_allocation import links
from uno.planning.timing import timing
from uno.planning.topology.link_selection import select_links


class RequiredKeys(Struct, frozen=True, kw_only=True):
    """The ids (`model.key_ids`) of every key pair and every preshared key of a plan, sorted."""

    pairs: tuple[str, ...]
    psks: tuple[str, ...]


def plan(uvn: Uvn, parent: Plan | None) -> Plan:
    """Decide everything but new keys. The same input gives the same plan, byte for byte.

    Public keys that are still needed come over from `parent`; `with_keys` adds the others.
    Raises `Rejected` where addresses or ports do not suffice, and if no cell is public.
    """
    pools = addresses.pools(uvn)
    refuse_errors(addresses.shortages(uvn, pools))
    chosen = select_links(uvn, parent)
    settings = uvn.settings
    draft = Plan(
        uvn=uvn.name,
        identity=uvn.identity,
        owner=uvn.owner,
        pools=pools,
        timing=timing(settings.timing_profile),
        backbone=_backbone(settings),
        root=_root(uvn, pools),
        particles_vpn=_particles_vpn(settings, pools),
        bus=BusPlan(middleware=settings.middleware, domain=settings.dds_domain),
        cells=tuple(_cell(cell, settings, pools) for cell in sorted(uvn.active_cells, key=_id)),
        particles=tuple(_particle(each, pools) for each in sorted(uvn.active_particles, key=_id)),
        strategy=settings.deployment.strategy,
        ring=chosen.ring,
    )
    draft = replace(draft, masquerades_nodes=_masquerades_nodes(draft, settings))
    keyless = replace(draft, links=links(uvn, draft, chosen.pairs, parent))
    return with_keys(keyless, parent.public_keys if parent else {})


def required_keys(plan: Plan) -> RequiredKeys:
    """Return the ids of all keys that `plan` needs, but for those between particles and cells."""
    pairs = [
        key
        for cell in plan.cells
        for key in (key_ids.cell_signing(cell.member.id), key_ids.cell_sealing(cell.member.id))
    ]
    psks: list[str] = []
    if plan.root:
        pairs.append(key_ids.ROOT_REGISTRY)
        pairs.extend(key_ids.root_pair(cell.member.id) for cell in plan.cells)
        psks.extend(key_ids.root_psk(cell.member.id) for cell in plan.cells)
    for link in plan.links:
        name = link.name
        pairs.extend(key_ids.link_pair(name, cell) for cell in link.cells)
        psks.append(key_ids.link_psk(name))
    pairs.extend(
        key_ids.particles_hub_pair(cell.member.id)
        for cell in plan.cells
        if cell.member.serves_particles
    )
    return RequiredKeys(pairs=tuple(sorted(pairs)), psks=tuple(sorted(psks)))


def with_keys(plan: Plan, public_keys: Mapping[str, str]) -> Plan:
    """Return `plan` with those of `public_keys` that it needs, in place of any it had."""
    known = {**plan.public_keys, **public_keys}
    needed = {name: known[name] for name in required_keys(plan).pairs if name in known}
    return replace(plan, public_keys=needed)


def _id(item: Cell | Particle) -> int:
    return item.id


def _backbone(settings: Settings) -> BackboneVpn:
    vpn = settings.backbone_vpn
    return BackboneVpn(
        interface=vpn.interface,
        mtu=vpn.peer_mtu,
        keepalive=vpn.keepalive,
        allowed_ips=tuple(sorted(vpn.allowed_ips, key=network_order)),
    )


def _root(uvn: Uvn, pools: Pools) -> RootVpn | None:
    if not uvn.settings.enable_root_vpn:
        return None
    vpn = uvn.settings.root_vpn
    registry4, registry6 = addresses.registry(pools)
    return RootVpn(
        registry4=registry4,
        registry6=registry6,
        registry_interface=interface_name(vpn.interface, 1),
        cell_interface=interface_name(vpn.interface, 0),
        mtu=vpn.peer_mtu,
        keepalive=vpn.keepalive,
        endpoint=uvn.address,
        port=vpn.port if uvn.address else None,
    )


def _particles_vpn(settings: Settings, pools: Pools) -> ParticlesVpn | None:
    if not settings.enable_particles_vpn:
        return None
    vpn = settings.particles_vpn
    hub4, hub6 = addresses.hub(pools)
    return ParticlesVpn(
        hub4=hub4,
        hub6=hub6,
        interface=interface_name(vpn.interface, 1),
        mtu=vpn.peer_mtu,
        keepalive=vpn.keepalive,
        masquerade=vpn.masquerade,
        tunnel=vpn.tunnel,
        allowed_ips=tuple(sorted(vpn.allowed_ips, key=network_order)),
    )


def _masquerades_nodes(draft: Plan, settings: Settings) -> bool:
    # A translation has the kernel track all connections, which cells without particles do not need.
    served = bool(draft.particles) and any(cell.member.serves_particles for cell in draft.cells)
    return settings.root_vpn.masquerade and served


def _cell(cell: Cell, settings: Settings, pools: Pools) -> PlannedCell:
    own = cell.settings
    node4, node6 = addresses.node(pools, cell.id)
    listens_to_registry = cell.is_public and settings.enable_root_vpn
    serves = cell.is_public and settings.enable_particles_vpn and own.enable_particles_vpn
    return PlannedCell(
        member=Member(
            id=cell.id,
            name=cell.name,
            node4=node4,
            node6=node6,
            endpoint=cell.address,
            lans=tuple(sorted(cell.allowed_lans, key=network_order)),
            serves_particles=serves,
            timing=_own_timing(own.timing_profile, settings),
        ),
        owner=cell.owner,
        root_port=(own.root_vpn_port or settings.root_vpn.peer_port)
        if listens_to_registry
        else None,
        particles_port=(own.particles_vpn_port or settings.particles_vpn.port) if serves else None,
        httpd_port=own.httpd_port,
        web_files=_certificate_files(own.web),
        location=own.location,
    )


def _certificate_files(web: WebSettings) -> CertificateFiles | None:
    if web.certificate is None or web.key is None:
        return None
    return CertificateFiles(certificate=web.certificate, key=web.key)


def _own_timing(profile: TimingProfile | None, settings: Settings) -> Timing | None:
    if profile is None or profile is settings.timing_profile:
        return None
    return timing(profile)


def _particle(particle: Particle, pools: Pools) -> PlannedParticle:
    address4, address6 = addresses.particle(pools, particle.id)
    return PlannedParticle(
        id=particle.id,
        name=particle.name,
        owner=particle.owner,
        address4=address4,
        address6=address6,
    )
