"""The checks of a cell's host, in the order in which one fault causes another. Pure.

A fault that follows from one that is named already is not named again: a firewall that drops BFD is
one fault, and not one of the firewall and one of each link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from ipaddress import IPv4Network

from msgspec import Struct, field

from uno.diagnosis.cell_facts import CellFacts, DiskSpace, LanHost, Unobserved, observed
from uno.diagnosis.cell_faults import age
from uno.diagnosis.check_result import CheckResult, CheckState, Diagnosis
from uno.diagnosis.link_faults import LinkFault, at_one_address, link_fault, neighbor_note
from uno.diagnosis.service_status import ServiceStatus, link_state, silent_links
from uno.model.net import Network, overlap
from uno.model.package import Package
from uno.model.plan import BackbonePeer
from uno.model.status import CellView, LinkState, UvnView
from uno.ports.host import SetUnderlay, StartRouting
from uno.reconcile.forwarding_obstacles import Obstacle, ObstacleKind, diverted

# Seconds by which the clock may be behind a file: some file systems round times up.
CLOCK_SLACK = 10

# Seconds by which clocks may differ: a status is received up to half a minute late.
CLOCK_DIFFERENCE = 300

# RFC 6598.
_CARRIER_GRADE_NAT = IPv4Network("100.64.0.0/10")

# Bytes and inodes that uno needs: a package, a status file, the logs of a day.
LEAST_FREE = 4 << 20
SOON_FULL = 64 << 20
LEAST_INODES = 64

# Hosts of a LAN that are named in one result.
_NAMED = 3


class _Check(Struct, frozen=True):
    """A check: its id, what it yields where something is wrong, and the text if nothing is."""

    id: str
    examine: Callable[[_Case], Iterator[CheckResult]]
    good: str


def diagnose(facts: CellFacts, *, package: Package | None) -> Diagnosis:
    """Return the result of every check; `package` is None where the directory cannot be read."""
    case = _Case(facts=facts, package=package)
    for check in CHECKS:
        case.results += _results(check, case)
    manifest = package.manifest if package else None
    return Diagnosis(
        uvn=manifest.uvn if manifest else "",
        subject=manifest.cell_name if manifest else "",
        results=tuple(case.results),
    )


def _results(check: _Check, case: _Case) -> list[CheckResult]:
    try:
        found = list(check.examine(case))
    except Unobserved as error:
        return [CheckResult(check=check.id, state=CheckState.NOT_CHECKED, what=str(error))]
    return found or [CheckResult(check=check.id, state=CheckState.GOOD, what=check.good)]


class _Case(Struct, kw_only=True, dict=True):
    """One run: the facts, and the results so far."""

    facts: CellFacts
    package: Package | None
    results: list[CheckResult] = field(default_factory=list)

    @cached_property
    def service(self) -> ServiceStatus:
        return observed(self.facts.service)

    @cached_property
    def running(self) -> ServiceStatus:
        if not self.service.running:
            raise Unobserved("the network is down on this host")
        return self.service

    @cached_property
    def own(self) -> Package:
        if self.package is None:
            raise Unobserved("the cell's package cannot be read")
        return self.package

    @cached_property
    def view(self) -> dict[int, CellView]:
        """The cells in the view of the agent, none without one."""
        found = self.facts.view
        return {each.id: each for each in found.cells} if isinstance(found, UvnView) else {}

    def has_fault(self, *checks: str) -> bool:
        """Whether one of these checks, or any of all, has found a fault."""
        return any(
            each.state is CheckState.FAULT and (not checks or each.check in checks)
            for each in self.results
        )

    def obstacles(self, *kinds: ObstacleKind) -> Iterator[Obstacle]:
        service = self.service
        every = (*service.obstacles, *service.proof.obstacles, *service.proof.narrow.values())
        return (each for each in every if each.kind in kinds)

    @cached_property
    def is_cut_off(self) -> bool:
        """Whether no link works."""
        return len(silent_links(self.running.links)) == len(self.running.links)

    @cached_property
    def is_offline(self) -> bool:
        """Whether no link works, on a host without a default route."""
        nics = observed(self.facts.host).nics
        return self.is_cut_off and not any(nic.has_default_route for nic in nics)

    @cached_property
    def silenced(self) -> frozenset[str]:
        """The interfaces of links whose silence is explained by something named already."""
        kinds = (ObstacleKind.LINK, ObstacleKind.FIREWALL, ObstacleKind.DOCKER)
        return frozenset(name for each in self.obstacles(*kinds) for name in each.links)


def _fault(check: str, what: str, *, where: str = "", remedy: str) -> CheckResult:
    return CheckResult(check=check, state=CheckState.FAULT, what=what, where=where, remedy=remedy)


def _warning(check: str, what: str, *, where: str = "", remedy: str) -> CheckResult:
    return CheckResult(check=check, state=CheckState.WARNING, what=what, where=where, remedy=remedy)


# The host itself.


def _requirements(case: _Case) -> Iterator[CheckResult]:
    lacking = observed(case.facts.lacking)
    if lacking:
        named = ", ".join(lacking)
        yield _fault(
            "requirements",
            f"not installed: {named}",
            remedy="install what the cell needs: docs/reference/on-the-host.md",
        )
    if not observed(case.facts.has_wireguard):
        yield _fault(
            "requirements",
            "neither the kernel nor a program of this host provides WireGuard",
            remedy="install the package wireguard-go, or a kernel with WireGuard",
        )


def _clock(case: _Case) -> Iterator[CheckResult]:
    clock = observed(case.facts.clock)
    behind = clock.newest - clock.now
    if behind > CLOCK_SLACK:
        yield _fault(
            "clock",
            f"the clock is {age(behind)} or more behind: {clock.path} was written later than"
            " it is now; neighbours refuse WireGuard handshakes that seem old",
            remedy="set the clock (timedatectl, or date -s), and have NTP keep it",
        )
        return
    if not case.view:
        return
    offsets = sorted(clock_offsets(case.view.values(), without=case.own.plan.cell, now=clock.now))
    middle = offsets[len(offsets) // 2] if offsets else 0
    if abs(middle) > CLOCK_DIFFERENCE:
        side = "behind" if middle > 0 else "ahead of"
        yield _warning(
            "clock",
            f"the clock is {age(abs(middle))} {side} that of most other cells",
            remedy="have NTP set it: timedatectl set-ntp true",
        )


def _disk(case: _Case) -> Iterator[CheckResult]:
    return disk_results(observed(case.facts.disks))


def disk_results(disks: Iterable[DiskSpace]) -> Iterator[CheckResult]:
    """Yield the file systems that are full, nearly full or read-only."""
    for each in disks:
        remedy = f"free some space: du -xh {each.path} | sort -h"
        if each.read_only:
            yield _fault(
                "disk",
                f"{each.path} is on a file system that is read-only",
                where=each.path,
                remedy="mount it writable; a worn disk or card becomes read-only: dmesg",
            )
        elif each.free < LEAST_FREE:
            yield _fault("disk", f"{each.path} is full", where=each.path, remedy=remedy)
        elif each.free_inodes is not None and each.free_inodes < LEAST_INODES:
            yield _fault(
                "disk",
                f"{each.path} has no room for more files: its inodes are used up",
                where=each.path,
                remedy="remove files that are not needed: df -i",
            )
        elif each.free < SOON_FULL and each.free < each.total // 20:
            left = each.free >> 20
            yield _warning("disk", f"{each.path}: {left} MiB left", where=each.path, remedy=remedy)


def _ipv6(case: _Case) -> Iterator[CheckResult]:
    if observed(case.facts.host).has_ipv6:
        return
    lans = ", ".join(str(lan) for lan in case.own.own.lans if lan.version == 6)
    if lans:
        yield _fault(
            "ipv6",
            f"the kernel has no IPv6, and this cell has {lans}",
            remedy="remove ipv6.disable=1 from the kernel's command line, and boot",
        )


def clock_offsets(cells: Iterable[CellView], *, without: int, now: int) -> Iterator[int]:
    """Yield by how many seconds the clock of each cell in contact is ahead of `now`."""
    for each in cells:
        status = each.status
        if each.id != without and each.alive and status and status.clock is not None:
            yield status.clock + int(each.status_age or 0) - now


# The package and the agent.


def _package(case: _Case) -> Iterator[CheckResult]:
    generation = case.own.manifest.generation
    own = case.view.get(case.own.plan.cell)
    due = own.package if own else None
    if own and due is not None and due != generation:
        ack = own.ack if own.ack and own.ack.generation == due else None
        reason = f": {ack.phase}, {ack.reason}" if ack and ack.reason else ""
        make = _fault if reason else _warning
        yield make(
            "package",
            f"this cell runs generation {generation}, the registry has {due} for it{reason}",
            remedy="mend that here, and at the registry: uno sync"
            if reason
            else "at the registry: uno sync; or install the newest package here",
        )
    undone = observed(case.facts.undone)
    if undone is not None and (due is None or due != generation):
        yield _warning("package", str(undone), remedy="see the agent's log for the cause")


def _agent(case: _Case) -> Iterator[CheckResult]:
    agent = observed(case.facts.agent)
    if not agent.runs and (agent.wanted or agent.crashed):
        yield _fault(
            "agent",
            "the agent has ended and does not run; the network stays as it was",
            remedy="start it: uno service up agent; and see why: journalctl -u uvn-agent",
        )
    own = case.view.get(case.own.plan.cell)
    problem = own.status.problem if own and own.status else ""
    if problem and not (case.service.missing or case.service.collisions):
        yield _fault("agent", problem, remedy="see the agent's log: journalctl -u uvn-agent")


# LANs, and what the cell forwards.


def _lans(case: _Case) -> Iterator[CheckResult]:
    named = list(case.obstacles(ObstacleKind.LAN))
    for each in named:
        yield _fault("lans", each.what, remedy=each.remedy)
    nics = observed(case.facts.host).nics
    there = ", ".join(f"{nic.name} {a}" for nic in nics for a in nic.addresses) or "none"
    for lan in case.service.missing:
        if not any(each.what.startswith(f"LAN {lan}:") for each in named):
            yield _fault(
                "lans",
                f"no interface of this host is in LAN {lan}; its addresses: {there}",
                where=str(lan),
                remedy="give the host an address there, or correct the cell's LANs in the registry",
            )


def _overlap(case: _Case) -> Iterator[CheckResult]:
    for each in case.service.collisions:
        make = _fault if each.takes_packets else _warning
        yield make(
            "overlap",
            str(each),
            where=each.interface or str(each.network),
            remedy="give one of the two other addresses; until then this host's own comes first",
        )


def _named(check: str, kind: ObstacleKind) -> Callable[[_Case], Iterator[CheckResult]]:
    """Return a check that names the obstacles of one kind."""

    def examine(case: _Case) -> Iterator[CheckResult]:
        for each in case.obstacles(kind):
            yield _fault(check, each.what, remedy=each.remedy)

    return examine


def _loss(case: _Case) -> Iterator[CheckResult]:
    causes = ("lans", "forwarding", "rp-filter", "docker", "firewall", "routes", "routing")
    if not case.has_fault(*causes):
        for each in case.obstacles(ObstacleKind.LOSS):
            yield _fault("loss", each.what, remedy=each.remedy)
    proof = case.running.proof
    if proof.unproved:
        raise Unobserved(f"this host permits no proof that it forwards: {proof.unproved}")


# Links.


def _ports(case: _Case) -> Iterator[CheckResult]:
    for port in sorted(observed(case.facts.taken)):
        yield _fault(
            "ports",
            f"UDP port {port} of this cell is used by another program",
            where=str(port),
            remedy=f"end that program (ss -lnup 'sport = :{port}'), or give the cell other ports",
        )


def _routing(case: _Case) -> Iterator[CheckResult]:
    if any(isinstance(each, StartRouting) for each in case.running.pending):
        yield _fault(
            "routing",
            "uno's FRR does not run: not all of zebra, bfdd, bgpd and watchfrr are there",
            remedy="start it: uno service up; why it ended: /run/uno/*/frr/frr.log",
        )


def _endpoints(case: _Case) -> Iterator[CheckResult]:
    resolved = observed(case.facts.resolved)
    silent = silent_links(case.running.links)
    peers = {each.interface: each.peer for each in case.running.links}
    for link in case.own.plan.links:
        if link.endpoint is None:
            continue
        found = resolved.get(link.endpoint, ())
        name = link.endpoint.rpartition(":")[0]
        is_silent = link.interface in silent
        make = _fault if is_silent else _warning
        peer = peers.get(link.interface)
        if not found:
            yield make(
                "endpoints",
                f"{name} of {_name(case, link)} cannot be resolved",
                where=link.interface,
                remedy=f"see the host's name service: getent ahosts {name}",
            )
        elif is_silent and peer and peer.endpoint and peer.endpoint not in found:
            yield make(
                "endpoints",
                f"{name} of {_name(case, link)} now leads to {found[0]}, and {link.interface} uses"
                f" {peer.endpoint}",
                where=link.interface,
                remedy="an agent resolves it again within a minute; without one: uno service up",
            )
    own = case.own.own.endpoint
    if own is not None and own in resolved and not resolved[own]:
        yield _warning(
            "endpoints",
            f"{own}, the name of this cell, cannot be resolved here",
            remedy="see that the name exists: the other cells connect to it",
        )


def _port_forwarding(case: _Case) -> Iterator[CheckResult]:
    for link, state in () if case.is_offline else _unexplained(case):
        fault = _fault_of(case, link, state)
        if fault and fault.nothing_arrives:
            shared = _shared_address(case)
            note = f"; {shared} is an address of carrier-grade NAT" if shared else ""
            yield _fault(
                "port-forwarding",
                fault.what + note,
                where=link.interface,
                remedy=fault.remedy,
            )


def _links(case: _Case) -> Iterator[CheckResult]:
    for each in case.obstacles(ObstacleKind.LINK):
        yield _fault("links", each.what, where=min(each.links), remedy=each.remedy)
    if case.is_offline and any(_unexplained(case)):
        yield _fault(
            "links",
            "this host has no default route, and no link works",
            remedy="see the host's network settings: ip route",
        )
        return
    for link, state in _unexplained(case):
        fault = _fault_of(case, link, state)
        if fault and not fault.nothing_arrives:
            notes = (_called(case, link), neighbor_note(case.view.get(link.cell)))
            what = "; ".join((fault.what, *filter(None, notes)))
            yield _fault("links", what, where=link.interface, remedy=fault.remedy)


def _fault_of(case: _Case, link: BackbonePeer, state: LinkState) -> LinkFault | None:
    """Return the fault of a link of this cell, None if it works."""
    is_one = at_one_address(case.own.own, case.own.roster.member(link.cell))
    return link_fault(state, _name(case, link), planned=link, at_one_address=is_one)


def _called(case: _Case, link: BackbonePeer) -> str:
    """Return where a link calls a neighbour that has a name; empty without one."""
    peers = (each.peer for each in case.running.links if each.interface == link.interface)
    endpoint = next((peer.endpoint for peer in peers if peer), None)
    if not link.endpoint or not endpoint or endpoint == link.endpoint:
        return ""
    return f"the interface sends to {endpoint}"


def _unexplained(case: _Case) -> Iterator[tuple[BackbonePeer, LinkState]]:
    """Yield the links that are down for a reason that is not named yet, with their state."""
    if case.has_fault("routing", "clock", "ports", "requirements"):
        return
    if case.has_fault("lans") and case.is_cut_off:
        # The LAN is the way to the Internet.
        return
    now = observed(case.facts.clock).now
    named = {each.where for each in case.results if each.check == "endpoints"}
    planned = {each.interface: each for each in case.own.plan.links}
    for link in case.running.links:
        if link.interface not in case.silenced | named and link.interface in planned:
            yield planned[link.interface], link_state(link, planned[link.interface], now=now)


def _shared_address(case: _Case) -> str:
    """Return the address of this host that its provider shares (RFC 6598), if it has one."""
    found = (
        str(address.ip)
        for nic in observed(case.facts.host).nics
        for address in nic.addresses
        if nic.has_default_route and overlap(address.network, _CARRIER_GRADE_NAT)
    )
    return next(found, "")


def _mtu(case: _Case) -> Iterator[CheckResult]:
    for each in case.obstacles(ObstacleKind.MTU):
        yield _fault("mtu", each.what, where=each.what.split()[0], remedy=each.remedy)


# Routes.


def _routes(case: _Case) -> Iterator[CheckResult]:
    hidden = {each.prefix for each in case.running.collisions}
    for lan, each in diverted(case.own, observed(case.facts.paths), hidden):
        yield _fault("routes", each.what, where=str(lan), remedy=each.remedy)


def _route_back(case: _Case) -> Iterator[CheckResult]:
    if not case.own.own.lans:
        return
    by_lan: dict[Network, list[LanHost]] = {}
    for host in observed(case.facts.lan_hosts):
        if host.answers_cell:
            by_lan.setdefault(host.lan, []).append(host)
    for lan, hosts in by_lan.items():
        local = [each for each in hosts if not each.answers_sites]
        named = ", ".join(str(each.address) for each in local[:_NAMED])
        named += " answers" if len(local) == 1 else " answer"
        if len(local) == len(hosts):
            # A router may answer its own LAN alone, and forward all the same.
            make = _warning if all(each.is_router for each in hosts) else _fault
            yield make(
                "route-back",
                f"LAN {lan}: {named} this cell, and no other site: the LAN's router has no"
                f" route back to this host{', or answers its LAN only' * (make is _warning)}",
                where=str(lan),
                remedy="add the routes to the LAN's router: uno guide, step 3",
            )
        elif local:
            yield _warning(
                "route-back",
                f"LAN {lan}: {named} this cell, and no other site, although others do",
                where=str(lan),
                remedy="its own firewall may answer its own LAN only, as Windows does",
            )


# The network as a whole.


def _service(case: _Case) -> Iterator[CheckResult]:
    if not case.service.running:
        yield _fault(
            "service",
            "the network is down on this host",
            remedy="connect it: uno service up, and at boot too: uno service install",
        )
        return
    pending = [each for each in case.service.pending if not isinstance(each, SetUnderlay)]
    if pending and not case.has_fault():
        runs = observed(case.facts.agent).runs
        yield _warning(
            "service",
            f"the host differs from what uno has set up: {len(pending)} changes pending",
            remedy="the agent's next pass applies them"
            if runs
            else "apply them: uno service up; list them: uno service status",
        )


def _name(case: _Case, link: BackbonePeer) -> str:
    return case.own.roster.member(link.cell).name


CHECKS = (
    _Check("requirements", _requirements, "programs and WireGuard are there"),
    _Check("clock", _clock, "the clock is not behind"),
    _Check("disk", _disk, "there is room for files"),
    _Check("ipv6", _ipv6, "the kernel has IPv6, or nothing here needs it"),
    _Check("package", _package, "the package is the one that the registry has, as far as is known"),
    _Check("agent", _agent, "the agent runs well, or none is wanted"),
    _Check("lans", _lans, "every LAN is attached"),
    _Check("overlap", _overlap, "no network of the host's own is also one of the UVN"),
    _Check("forwarding", _named("forwarding", ObstacleKind.FORWARDING), "the kernel forwards"),
    _Check(
        "rp-filter", _named("rp-filter", ObstacleKind.RP_FILTER), "no reverse path filter is strict"
    ),
    _Check(
        "docker", _named("docker", ObstacleKind.DOCKER), "iptables' chains pass what uno forwards"
    ),
    _Check(
        "firewall", _named("firewall", ObstacleKind.FIREWALL), "no other firewall is in the way"
    ),
    _Check("ports", _ports, "no other program has the cell's UDP ports"),
    _Check("routing", _routing, "uno's FRR runs"),
    _Check("endpoints", _endpoints, "every neighbour's name leads to an address"),
    _Check("port-forwarding", _port_forwarding, "packets arrive at the cell's UDP ports"),
    _Check("links", _links, "every link is up"),
    _Check("mtu", _mtu, "every link carries full packets"),
    _Check("routes", _routes, "packets to other LANs leave by links"),
    _Check("loss", _loss, "packets of the LANs are forwarded in both directions"),
    _Check(
        "route-back", _route_back, "hosts of the LANs answer other sites, as far as any is known"
    ),
    _Check("service", _service, "the host is as uno has set it up"),
)
