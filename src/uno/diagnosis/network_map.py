"""The planned network as a path through it needs it, and what a person can name in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from enum import StrEnum

from msgspec import Struct

from uno.diagnostics import InvalidInput
from uno.model.net import Address, Network, address, network, overlap
from uno.model.network_directory import Directory
from uno.model.package import Package
from uno.model.plan import Member, ParticleIdentity, Plan, Pools, Roster
from uno.model.uvn import Uvn

# Names that an error lists.
_LISTED = 12


class PlaceKind(StrEnum):
    """What an end of a path is. A host is an address in a LAN, which no status knows."""

    CELL = "cell"
    LAN = "lan"
    HOST = "host"
    PARTICLE = "particle"


class NamedPlace(Struct, frozen=True, kw_only=True):
    """An end of a path: what it is, and the cell that it is at, None for a particle.

    `lan` is its LAN, `address` that of a host, `particle` the id of a particle. `banned`: the
    definition excludes it, so that no path of the plan leads there.
    """

    kind: PlaceKind
    name: str
    cell: int | None = None
    lan: Network | None = None
    address: Address | None = None
    particle: int | None = None
    banned: bool = False

    @property
    def version(self) -> int | None:
        """The IP version that it has, None for both."""
        if self.address is not None:
            return self.address.version
        return self.lan.version if self.lan else None


class NetworkMap(Struct, frozen=True, kw_only=True):
    """Cells, links and particles as planned. `links` are ids of cells, the lower first.

    `particles` are those that are known here: a cell that serves none knows none. `banned_cells`
    and `banned_particles` are names that only the registry knows.
    """

    members: tuple[Member, ...]
    links: tuple[tuple[int, int], ...]
    pools: Pools
    particles: tuple[ParticleIdentity, ...] = ()
    banned_cells: frozenset[str] = frozenset()
    banned_particles: frozenset[str] = frozenset()

    def name(self, cell: int) -> str:
        """Return the name of a cell."""
        return next((it.name for it in self.members if it.id == cell), f"cell {cell}")

    def path(
        self, source: int, target: int, links: Iterable[tuple[int, int]] | None = None
    ) -> tuple[int, ...]:
        """Return the cells of a shortest path over `links`, or all that are planned; or nothing."""
        neighbors: dict[int, list[int]] = {}
        for one, other in sorted(self.links if links is None else links):
            neighbors.setdefault(one, []).append(other)
            neighbors.setdefault(other, []).append(one)
        before: dict[int, int | None] = {source: None}
        edge = [source]
        while edge and target not in before:
            edge = [
                new
                for cell in edge
                for new in neighbors.get(cell, ())
                if new not in before and before.setdefault(new, cell) == cell
            ]
        return tuple(_backwards(before, target))[::-1] if target in before else ()


def map_of_package(package: Package) -> NetworkMap:
    """Return what a cell knows of the network."""
    roster = package.roster
    return NetworkMap(
        members=roster.members,
        links=roster.links,
        pools=roster.pools,
        particles=tuple(each.particle for each in package.particles),
    )


def map_of_plan(plan: Plan, uvn: Uvn) -> NetworkMap:
    """Return what the registry knows of the network."""
    active = {each.id for each in uvn.active_particles}
    return NetworkMap(
        members=tuple(cell.member for cell in plan.cells),
        links=tuple(link.cells for link in plan.links),
        pools=plan.pools,
        particles=tuple(each.identity for each in plan.particles),
        banned_cells=frozenset(each.name for each in uvn.cells if each.excluded),
        banned_particles=frozenset(each.name for each in uvn.particles if each.id not in active),
    )


def map_of_facts(roster: Roster, facts: Directory) -> NetworkMap:
    """Return what the registry knows of the network, from what it makes of it for others."""
    return NetworkMap(
        members=roster.members,
        links=roster.links,
        pools=roster.pools,
        particles=tuple(
            ParticleIdentity(each.id, each.name, each.address4, each.address6)
            for each in facts.particles
            if each.address4 is not None and each.address6 is not None
        ),
        banned_cells=frozenset(each.name for each in facts.cells if each.banned),
        banned_particles=frozenset(each.name for each in facts.particles if each.banned),
    )


def find_place(text: str, known: NetworkMap) -> NamedPlace:
    """Return what `text` names: a cell, a particle, a LAN, or an address. Raises `InvalidInput`."""
    for member in known.members:
        if member.name == text:
            return NamedPlace(kind=PlaceKind.CELL, name=text, cell=member.id)
    for particle in known.particles:
        if particle.name == text:
            return _of_particle(particle)
    if text in known.banned_cells:
        return NamedPlace(kind=PlaceKind.CELL, name=text, banned=True)
    if text in known.banned_particles:
        return NamedPlace(kind=PlaceKind.PARTICLE, name=text, banned=True)
    try:
        at = address(text)
    except ValueError:
        pass
    else:
        return _of_address(at, known)
    try:
        lan = network(text)
    except ValueError:
        raise _unknown(text, known) from None
    return _of_network(lan, known)


def _of_particle(particle: ParticleIdentity) -> NamedPlace:
    return NamedPlace(kind=PlaceKind.PARTICLE, name=particle.name, particle=particle.id)


def _of_address(at: Address, known: NetworkMap) -> NamedPlace:
    for member in known.members:
        if at in {member.node4, member.node6}:
            return NamedPlace(kind=PlaceKind.CELL, name=member.name, cell=member.id)
    for particle in known.particles:
        if at in {particle.address4, particle.address6}:
            return _of_particle(particle)
    there = [(lan, it) for it in known.members for lan in it.lans if at in lan]
    if there:
        lan, member = max(there, key=lambda each: each[0].prefixlen)
        return NamedPlace(kind=PlaceKind.HOST, name=str(at), cell=member.id, lan=lan, address=at)
    pools = known.pools
    if any(at in pool for pool in (pools.particles, pools.particles6)):
        raise InvalidInput(
            f"no particle that is known here has the address {at}",
            "ask at the registry, or at a cell that serves particles",
        )
    raise InvalidInput(f"{at} is in no LAN of the UVN{_nearest(at, known)}", "see uno list cells")


def _nearest(at: Address, known: NetworkMap) -> str:
    """Return the LAN whose prefix has most bits in common with an address, as text."""
    lans = [(lan, it) for it in known.members for lan in it.lans if lan.version == at.version]
    if not lans:
        return ""

    def distance(lan: Network) -> int:
        return (int(lan.network_address) ^ int(at)).bit_length()

    lan, member = min(lans, key=lambda each: distance(each[0]))
    return f"; the nearest is {lan} of {member.name}"


def _of_network(lan: Network, known: NetworkMap) -> NamedPlace:
    within = [
        (each, it)
        for it in known.members
        for each in it.lans
        if overlap(each, lan) and each.prefixlen <= lan.prefixlen
    ]
    if not within:
        listed = [str(each) for it in known.members for each in it.lans][:_LISTED]
        raise InvalidInput(
            f"{lan} is no LAN of the UVN, and in none",
            f"the LANs are {', '.join(listed) or 'none'}",
        )
    whole, member = max(within, key=lambda each: each[0].prefixlen)
    return NamedPlace(kind=PlaceKind.LAN, name=str(lan), cell=member.id, lan=whole)


def _unknown(text: str, known: NetworkMap) -> InvalidInput:
    names = [
        *(it.name for it in known.members),
        *(it.name for it in known.particles),
        *known.banned_cells,
        *known.banned_particles,
    ]
    close = get_close_matches(text, names, n=3)
    return InvalidInput(
        f"{text} is no cell, particle, LAN or address that is known here",
        f"did you mean {', '.join(close)}?" if close else f"there are {', '.join(names[:_LISTED])}",
    )


def _backwards(before: dict[int, int | None], target: int) -> Iterator[int]:
    at: int | None = target
    while at is not None:
        yield at
        at = before[at]
