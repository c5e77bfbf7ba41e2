"""Whether a cell forwards for its LANs, as probes prove that take the way of a LAN host's packets.

Pure. To each neighbour the cell sends a small and a large probe as a host of the LAN would. Where
one is not answered, it sends it again, and both as itself. Where these are answered, the fault is
between the LAN and the tunnel, or back: on this host. Where its own are not answered either, it is
elsewhere, and nothing is proved.

A LAN of another cell is reached if that cell's agent answers as a host of the LAN would.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from uno.model.attached_lan import AttachedLan
from uno.model.net import Address, Network, overlap
from uno.model.package import Package
from uno.model.plan import BackbonePeer, Member
from uno.ports.host import Facts
from uno.ports.prober import ForwardingProbe
from uno.reconcile.forwarding_obstacles import Obstacle, ObstacleKind

SMALL = 96
"""Octets of a small probe, with its IP header."""


class ProbedPath(Struct, frozen=True, kw_only=True):
    """A LAN and a neighbour, with the probes between them: `small` and `large`.

    Those in `own_small` and `own_large` are of this host itself. `metered`: the link's timers are.
    """

    lan: Network
    nic: str
    link: str
    neighbor: str
    small: ForwardingProbe
    large: ForwardingProbe
    own_small: ForwardingProbe
    own_large: ForwardingProbe
    metered: bool = False


class ProofPlan(Struct, frozen=True, kw_only=True):
    """What is probed: `paths` for each LAN of the cell, `remote` by LAN of other cells.

    `metered` are those in `remote` of metered cells. `is_complete`: it has paths if the cell has
    LANs and links.
    """

    paths: tuple[ProbedPath, ...] = ()
    remote: Mapping[Network, ForwardingProbe] = field(default_factory=dict)
    metered: frozenset[Network] = frozenset()
    is_complete: bool = True

    @property
    def without_metered(self) -> ProofPlan:
        """What is left of it without probes of metered cells, and over metered links."""
        paths = tuple(path for path in self.paths if not path.metered)
        return replace(
            self,
            paths=paths,
            remote={lan: it for lan, it in self.remote.items() if lan not in self.metered},
            metered=frozenset(),
        )

    @property
    def forwarded(self) -> frozenset[ForwardingProbe]:
        """The probes that are sent as hosts of the LANs would."""
        own = {each for path in self.paths for each in (path.small, path.large)}
        return frozenset({*own, *self.remote.values()})

    def unanswered(self, answered: Collection[ForwardingProbe]) -> frozenset[ForwardingProbe]:
        """Return those of `forwarded` that were not answered, and this host's own beside them."""
        failed = self.forwarded - frozenset(answered)
        own = {
            each
            for path in self.paths
            if not failed.isdisjoint((path.small, path.large))
            for each in (path.own_small, path.own_large)
        }
        return failed | own

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The interfaces to the LANs that are probed from."""
        return tuple(dict.fromkeys(path.nic for path in self.paths))


class ForwardingProof(Struct, frozen=True, kw_only=True):
    """What probes have proved.

    `forwards` has the cell's LANs for which something was proved: that packets of any size pass in
    both directions, or that they do not. `narrow` has by interface the links that lose large
    packets of this host too. `unreached` are LANs of other cells whose agent did not answer.
    `unproved` is why the host permits no proof, empty if it does.
    """

    forwards: Mapping[Network, bool] = field(default_factory=dict)
    obstacles: tuple[Obstacle, ...] = ()
    narrow: Mapping[str, Obstacle] = field(default_factory=dict)
    unreached: frozenset[Network] = frozenset()
    unproved: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing has failed."""
        failed = self.obstacles or self.narrow or self.unreached
        return not failed and all(self.forwards.values())


def proof_plan(
    package: Package,
    *,
    lans: Iterable[AttachedLan],
    facts: Facts,
    working: Collection[str],
    answering: Collection[int] = (),
) -> ProofPlan:
    """Return what to probe on the host of a package's cell, where `lans` are attached.

    `working` are the interfaces of links that work: through others nothing is probed. `answering`
    are the cells whose agents answer the probes of others.
    """
    own = package.own
    sources = [
        (lan, source)
        for lan in lans
        if facts.has_ipv6 or lan.network.version == 4
        if (source := host_of(lan, facts)) is not None
    ]
    members = {member.id: member for member in package.roster.members}
    paths = tuple(
        _path(package, lan, source, link, members[link.cell])
        for lan, source in sources
        for link in package.plan.links
        if link.interface in working
    )
    first = {lan.network.version: (lan, source) for lan, source in reversed(sources)}
    remote = {
        network: ForwardingProbe(
            interface=first[network.version][0].nic,
            source=first[network.version][1],
            destination=destination,
            size=SMALL,
        )
        for member in package.roster.members
        if paths and member.id != own.id and member.id in answering
        for network in member.lans
        if network.version in first
        if (destination := next(_hosts(network), None)) is not None
    }
    has_subject = bool(sources and package.plan.links)
    return ProofPlan(
        paths=paths,
        remote=remote,
        metered=frozenset(
            lan
            for member in package.roster.members
            if package.roster.timing_of(member.id).metered
            for lan in member.lans
        ),
        is_complete=bool(paths) or not has_subject,
    )


def conclude(plan: ProofPlan, answered: Collection[ForwardingProbe]) -> ForwardingProof:
    """Return what is proved where these probes were answered, and no others were.

    Of this host's own, those of `unanswered` were sent.
    """
    forwards: dict[Network, bool] = {}
    for path in plan.paths:
        if path.small in answered and path.large in answered:
            forwards[path.lan] = True
        elif path.own_small in answered or path.small in answered:
            forwards.setdefault(path.lan, False)
    proved = any(forwards.values())
    return ForwardingProof(
        forwards=forwards,
        obstacles=tuple(_blocked(plan.paths, answered)),
        narrow=dict(_narrow(plan.paths, answered)),
        # Where this host forwards nothing, it is not the others that are at fault.
        unreached=frozenset(
            lan for lan, probe in plan.remote.items() if proved and probe not in answered
        ),
    )


def _path(
    package: Package, lan: AttachedLan, source: Address, link: BackbonePeer, neighbor: Member
) -> ProbedPath:
    own, mtu = package.own, package.plan.backbone_mtu
    four = lan.network.version == 4
    node: Address = own.node4 if four else own.node6
    target: Address = neighbor.node4 if four else neighbor.node6

    def probe(interface: str | None, size: int) -> ForwardingProbe:
        sender = node if interface is None else source
        return ForwardingProbe(interface=interface, source=sender, destination=target, size=size)

    return ProbedPath(
        lan=lan.network,
        nic=lan.nic,
        link=link.interface,
        neighbor=neighbor.name,
        small=probe(lan.nic, SMALL),
        large=probe(lan.nic, mtu),
        own_small=probe(None, SMALL),
        own_large=probe(None, mtu),
        metered=package.roster.link_timing(own.id, neighbor.id).metered,
    )


def host_of(lan: AttachedLan, facts: Facts) -> Address | None:
    """Return an address of the LAN that is on its interface, and not of this host."""
    taken = {address.ip for nic in facts.nics for address in nic.addresses}
    for nic in facts.nics:
        for address in nic.addresses if nic.name == lan.nic else ():
            if overlap(address.network, lan.network):
                smaller = max((address.network, lan.network), key=lambda each: each.prefixlen)
                return next((each for each in _hosts(smaller) if each not in taken), None)
    return None


def _hosts(network: Network) -> Iterator[Address]:
    """Yield addresses that hosts of a network can have, from the highest on; at most 16."""
    count = min(16, network.num_addresses - 2)
    # The highest of IPv4 is the broadcast address, the lowest of IPv6 the routers' anycast address.
    yield from (network[-2 - at] for at in range(count))


def _narrow(
    paths: Iterable[ProbedPath], answered: Collection[ForwardingProbe]
) -> Iterator[tuple[str, Obstacle]]:
    """Yield the links that lose large packets, by interface."""
    for path in paths:
        is_large = path.large in answered or path.own_large in answered
        if path.own_small in answered and not is_large:
            size = path.own_large.size
            yield (
                path.link,
                Obstacle(
                    kind=ObstacleKind.MTU,
                    what=f"{path.link} loses packets of {size} octets to or from {path.neighbor}, "
                    "and passes small ones",
                    remedy="see what on the way carries smaller packets only, "
                    "or lower `settings.backbone_vpn.peer_mtu`",
                ),
            )


def _blocked(
    paths: Iterable[ProbedPath], answered: Collection[ForwardingProbe]
) -> Iterator[Obstacle]:
    """Yield the LANs whose packets this host does not forward although its own arrive."""
    found: dict[tuple[Network, str, int | None], list[str]] = {}
    for path in paths:
        if path.own_small in answered and path.small not in answered:
            found.setdefault((path.lan, path.nic, None), []).append(path.neighbor)
        elif path.own_large in answered and path.large not in answered:
            found.setdefault((path.lan, path.nic, path.large.size), []).append(path.neighbor)
    for (lan, nic, size), neighbors in found.items():
        named = " and ".join(filter(None, [", ".join(neighbors[:-1]), neighbors[-1]]))
        which = "packets" if size is None else f"packets of {size} octets"
        yield Obstacle(
            what=f"LAN {lan}: this host loses {which} between {nic} and {named}",
            remedy="see `nft list ruleset`, `ip rule`, "
            f"`tc filter show dev {nic} ingress` and `sysctl net.ipv4.conf`",
        )
