"""Metrics of a cell, or of the whole UVN, as Prometheus reads them (text format 0.0.4). Pure.

Names and units are those of the usual exporters: base units, `_total` for counters, `_info` with
the value 1, shares from 0 to 1. A handshake is an age, and not a time of day as elsewhere, since
clocks of cells may be wrong. What is not known has no sample.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from uno.model.messages import REGISTRY
from uno.model.status import CellStatus, CellView, LinkState
from uno.web.documents import LinkHealth
from uno.web.picture import Picture

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# bgpPeerState of BGP4-MIB (RFC 4273); 0 where routing does not run.
_BGP_STATES = ("Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established")

_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Metric(Struct, frozen=True):
    """A family of metrics: its name, its type, and what it means."""

    name: str
    kind: str
    help: str


def _gauge(name: str, text: str) -> Metric:
    return Metric(f"uno_{name}", "gauge", text)


def _counter(name: str, text: str) -> Metric:
    return Metric(f"uno_{name}_total", "counter", text)


_GENERATION = _gauge("generation", "Generation in force, as far as the exporting node knows.")
_REGISTRY = _gauge("registry_contact", "Whether advertisements of the registry arrive.")
_ROLLOUT = _gauge("rollout", "Whether the registry is rolling out a generation.")
_UNRELEASED = _gauge("unreleased_changes", "Changes of the registry that are not released.")
_ALL_CELLS = _gauge("cells", "Cells of the UVN.")
_CELL_UP = _gauge("cell_up", "Whether the newest advertisement of the cell is recent enough.")
_CELL_AGE = _gauge("cell_status_age_seconds", "Age of the newest advertisement of the cell.")
_CELL_INFO = _gauge("cell_info", "Version and WireGuard implementation of the cell.")
_PACKAGE = _gauge("cell_package_generation", "Generation that the cell should run.")
_CELL_GENERATION = _gauge("cell_generation", "Generation that the cell runs.")
_CONSISTENT = _gauge("cell_consistent", "Whether the cell runs the generation that it should.")
_CELL_REGISTRY = _gauge("cell_registry_contact", "Whether the cell receives from the registry.")
_PROBLEM = _gauge("cell_problem", "Whether a person has to act at the cell.")
_OBSTACLES = _gauge("cell_obstacles", "What is in the way of packets that the cell forwards.")
_UPTIME = _gauge("cell_agent_uptime_seconds", "For how long the cell's agent has run.")
_HOST_UPTIME = _gauge("cell_host_uptime_seconds", "For how long the cell's host has run.")
_PARTICLES = _gauge("cell_particles_online", "Particles with a handshake in the last 180 s.")
_UNREACHED = _gauge("cell_unreachable_lans", "LANs of other cells that the cell does not reach.")
_DROPPED = _counter("firewall_dropped_packets", "Packets dropped by a chain of uno's firewall.")
_ATTACHED = _gauge("lan_attached", "Whether the cell has an interface in its LAN.")
_FORWARDS = _gauge("lan_forwards", "Whether probes have shown that the cell forwards for its LAN.")
_REACHABLE = _gauge("lan_reachable", "Whether the cell reaches a LAN of another cell.")
_PATH_UP = _gauge("path_up", "Whether another cell has answered any of the last probes.")
_PATH_RTT = _gauge("path_rtt_seconds", "Round-trip time to another cell.")
_PATH_LOSS = _gauge("path_loss_ratio", "Share of the last probes to another cell that were lost.")
_LINK_UP = _gauge("link_up", "Whether BGP is Established and BFD is up.")
_LINK_HEALTH = _gauge("link_degraded", "Whether the link works, and loses packets or large ones.")
_BGP = _gauge("link_bgp_state", "BGP state: 1 Idle to 6 Established (RFC 4273), 0 not running.")
_BFD = _gauge("link_bfd_up", "Whether the BFD session is up.")
_PREFIXES = _gauge("link_bgp_prefixes_received", "Prefixes accepted from the neighbour by BGP.")
_FLAPS = _counter("link_bgp_flaps", "How often an Established BGP session has ended.")
_RECEIVED = _counter("link_receive_bytes", "Octets received through the link.")
_SENT = _counter("link_transmit_bytes", "Octets sent into the link.")
_HANDSHAKE = _gauge("link_last_handshake_age_seconds", "Age of the last WireGuard handshake.")
_LINK_RTT = _gauge("link_rtt_seconds", "Round-trip time through the link.")
_LINK_LOSS = _gauge("link_loss_ratio", "Share of the last probes through the link that were lost.")
_LINK_MTU = _gauge("link_mtu_bytes", "Largest packet that has got through the link.")

METRICS: tuple[Metric, ...] = tuple(
    each for each in list(globals().values()) if isinstance(each, Metric)
)
"""All families, in the order in which they are written."""

_Sample = tuple[Metric, dict[str, str], float | None]


def render(picture: Picture, *, whole: bool = False) -> bytes:
    """Return the metrics of the viewer's own cell, or with `whole` of all cells, without paths.

    The registry has no cell of its own, and always exports all.
    """
    samples: dict[str, list[str]] = {}
    for metric, labels, value in _samples(picture, whole=whole):
        if value is not None:
            text = ",".join(f'{key}="{each.translate(_ESCAPED)}"' for key, each in labels.items())
            samples.setdefault(metric.name, []).append(f"{metric.name}{{{text}}} {_number(value)}")
    lines: list[str] = []
    for metric in METRICS:
        if metric.name in samples:
            lines.append(f"# HELP {metric.name} {metric.help}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines.extend(samples[metric.name])
    return "".join(f"{line}\n" for line in lines).encode()


def _samples(picture: Picture, *, whole: bool) -> Iterator[_Sample]:
    view, labels = picture.view, {"uvn": picture.view.uvn}
    whole = whole or view.viewer == REGISTRY
    yield _GENERATION, labels, view.generation
    yield _REGISTRY, labels, view.registry
    yield _ROLLOUT, labels, bool(view.rollout)
    yield _UNRELEASED, labels, view.waiting
    yield _ALL_CELLS, labels, len(view.cells)
    for cell in view.cells:
        if whole or cell.id == view.viewer:
            own = {**labels, "cell": cell.name}
            yield from _cell(cell, own)
            if cell.status is not None and cell.alive:
                yield from _status(picture, cell.status, own, whole=whole)
                yield from _links(picture, cell, cell.status, own)


def _cell(cell: CellView, labels: dict[str, str]) -> Iterator[_Sample]:
    yield _CELL_UP, labels, cell.alive
    yield _CELL_AGE, labels, cell.status_age
    yield _PACKAGE, labels, cell.package
    yield _CONSISTENT, labels, cell.consistent
    if cell.status is not None:
        yield _CELL_GENERATION, labels, cell.status.generation


def _status(
    picture: Picture, status: CellStatus, labels: dict[str, str], *, whole: bool
) -> Iterator[_Sample]:
    info = {**labels, "version": status.version, "wireguard": status.wireguard}
    yield _CELL_INFO, info, 1
    yield _CELL_REGISTRY, labels, status.registry
    yield _PROBLEM, labels, bool(status.problem)
    yield _OBSTACLES, labels, len(status.obstacles)
    yield _UPTIME, labels, status.uptime
    yield _HOST_UPTIME, labels, status.host_uptime
    yield _PARTICLES, labels, sum(each.is_online for each in status.particles)
    yield _UNREACHED, labels, len(status.unreachable)
    for chain, packets in sorted(status.dropped.items()):
        yield _DROPPED, {**labels, "chain": chain}, packets
    for lan in status.lans:
        at = {**labels, "lan": str(lan.network)}
        yield _ATTACHED, at, lan.interface is not None
        yield _FORWARDS, at, lan.forwards
    if whole:
        return
    for lans, is_reached in ((status.reachable, True), (status.unreachable, False)):
        for network in lans:
            yield _REACHABLE, {**labels, "lan": str(network)}, is_reached
    for path in status.paths:
        to = {**labels, "to": picture.name(path.cell)}
        yield _PATH_UP, to, path.answers
        yield _PATH_RTT, to, _seconds(path.rtt)
        yield _PATH_LOSS, to, path.loss


def _links(
    picture: Picture, cell: CellView, status: CellStatus, labels: dict[str, str]
) -> Iterator[_Sample]:
    for link in status.links:
        at = {**labels, "interface": link.interface, "peer": picture.name(link.cell)}
        pair = (min(cell.id, link.cell), max(cell.id, link.cell))
        health, _ = picture.link_health.get(pair, (LinkHealth.UNKNOWN, ""))
        yield _LINK_HEALTH, at, health is LinkHealth.DEGRADED
        yield from _link(link, at)


def _link(link: LinkState, labels: dict[str, str]) -> Iterator[_Sample]:
    state = _BGP_STATES.index(link.bgp) + 1 if link.bgp in _BGP_STATES else 0
    yield _LINK_UP, labels, link.works
    yield _BGP, labels, state
    yield _BFD, labels, link.bfd == "up"
    yield _PREFIXES, labels, link.prefixes
    yield _FLAPS, labels, link.flaps
    yield _RECEIVED, labels, link.received
    yield _SENT, labels, link.sent
    yield _HANDSHAKE, labels, link.handshake
    yield _LINK_RTT, labels, _seconds(link.rtt)
    yield _LINK_LOSS, labels, link.loss
    yield _LINK_MTU, labels, link.mtu


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6g}"
