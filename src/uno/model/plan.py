"""The plan: all decisions about nodes, links, addresses, ports and import policy.

`planning` compiles a `Uvn` to a `Plan`. A plan leaves nothing to decide later, holds public keys
only, and is the same bytes for the same definition and parent. A `CellPlan` is the part of one
cell; together with the `Roster`, which every cell has, it is the input of the agent.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from msgspec import Struct

from uno.model.net import Network
from uno.model.uvn import Middleware, Strategy

# Private 4-byte AS numbers, RFC 6996: 4200000000 to 4294967294.
FIRST_ASN = 4200000000


def asn_of(cell: int) -> int:
    """Return the AS number of the cell with this id."""
    return FIRST_ASN + cell


class Timing(Struct, frozen=True, kw_only=True):
    """Timers of BGP (seconds) and BFD (milliseconds).

    `metered`: each octet is paid for, so that agents probe and ping seldom, too.
    """

    hold: int
    keepalive: int
    connect: int
    bfd_interval: int
    bfd_multiplier: int
    restart: int
    metered: bool = False

    @property
    def detection(self) -> int:
        """Milliseconds until BFD declares a session down (RFC 5880, section 6.8.4)."""
        return self.bfd_interval * self.bfd_multiplier


def slower(one: Timing, other: Timing) -> Timing:
    """Return the timers of a link between cells with these: those that detect a failure later."""
    return max(one, other, key=lambda each: (each.detection, each.hold))


class Pools(Struct, frozen=True, kw_only=True):
    """The address pools of the UVN. `ula` is the IPv6 prefix that all IPv6 addresses come from."""

    root: IPv4Network
    particles: IPv4Network
    backbone: IPv4Network
    ula: IPv6Network
    particles6: IPv6Network


class Member(Struct, frozen=True, kw_only=True):
    """The facts about a cell that every cell has.

    `node4` and `node6` are the stable addresses of the host itself, announced by BGP.
    `endpoint` is the public name or address, or None. `sign_key` is the Ed25519 public key, in
    base64, of the key pair that signs the cell's advertisements. `timing` is None where it is the
    UVN's.
    """

    id: int
    name: str
    node4: IPv4Address
    node6: IPv6Address
    endpoint: str | None = None
    lans: tuple[Network, ...] = ()
    serves_particles: bool = False
    sign_key: str = ""
    timing: Timing | None = None

    @property
    def asn(self) -> int:
        """The cell's AS number."""
        return asn_of(self.id)


class Roster(Struct, frozen=True, kw_only=True):
    """The members of the UVN, their prefixes and their links. The same bytes in all packages.

    `links` are the ids of both ends of each backbone link, the lower first, in ascending order. It
    is empty in packages made before rosters had links.
    """

    uvn: str
    identity: str
    pools: Pools
    timing: Timing
    members: tuple[Member, ...] = ()
    links: tuple[tuple[int, int], ...] = ()

    def member(self, cell: int) -> Member:
        """Return the member with the id `cell`. Raises `KeyError`."""
        for each in self.members:
            if each.id == cell:
                return each
        raise KeyError(cell)

    def timing_of(self, cell: int) -> Timing:
        """Return the timers of a cell. Raises `KeyError`."""
        return self.member(cell).timing or self.timing

    def link_timing(self, one: int, other: int) -> Timing:
        """Return the timers of a link, the same at both of its ends. Raises `KeyError`."""
        return slower(self.timing_of(one), self.timing_of(other))


class CellSet(Struct, frozen=True, kw_only=True):
    """A set of cells, by id: those listed, or all of the roster but those listed."""

    cells: tuple[int, ...] = ()
    complement: bool = False

    def __contains__(self, cell: int) -> bool:
        return (cell in self.cells) != self.complement


class LinkEnd(Struct, frozen=True, kw_only=True):
    """One side of a backbone link.

    `slot` numbers the cell's own links: its interface, and for a public cell its port, the
    cell's first backbone port plus `slot`. `port` is None where the cell does not listen.
    `import_origins` are the cells whose prefixes this end may import (BGP import policy, RFC 7454).
    """

    cell: int
    slot: int
    address4: IPv4Address
    address6: IPv6Address
    port: int | None = None
    import_origins: CellSet = CellSet()


class Link(Struct, frozen=True, kw_only=True):
    """A WireGuard link between two cells, `a.cell < b.cell`.

    `number` places it in the address pool.
    """

    number: int
    a: LinkEnd
    b: LinkEnd

    @property
    def cells(self) -> tuple[int, int]:
        """The ids of both cells, the lower first."""
        return self.a.cell, self.b.cell

    @property
    def name(self) -> str:
        """The link's name in key ids: `1-2`."""
        return f"{self.a.cell}-{self.b.cell}"


class CertificateFiles(Struct, frozen=True, kw_only=True):
    """Where a cell's host has a certificate of its owner's for the web page, and its key."""

    certificate: str
    key: str


class PlannedCell(Struct, frozen=True, kw_only=True):
    """A cell as decided. Ports are None where the cell does not listen."""

    member: Member
    owner: str
    root_port: int | None = None
    particles_port: int | None = None
    httpd_port: int = 443
    web_files: CertificateFiles | None = None
    location: str | None = None


class PlannedParticle(Struct, frozen=True, kw_only=True):
    """A particle as decided. Its addresses are the same at every cell."""

    id: int
    name: str
    owner: str
    address4: IPv4Address
    address6: IPv6Address

    @property
    def identity(self) -> ParticleIdentity:
        """The part of it that cells receive: all but its owner."""
        return ParticleIdentity(
            id=self.id, name=self.name, address4=self.address4, address6=self.address6
        )


class RootVpn(Struct, frozen=True, kw_only=True):
    """The star between registry and cells. A cell's own address in it is its node address."""

    registry4: IPv4Address
    registry6: IPv6Address
    registry_interface: str
    cell_interface: str
    mtu: int
    keepalive: int
    endpoint: str | None = None
    port: int | None = None


class ParticlesVpn(Struct, frozen=True, kw_only=True):
    """The star between a cell and the particles. `hub4`/`hub6` is every cell's address in it.

    `allowed_ips` are networks outside of the UVN that particles without `tunnel` reach, too.
    """

    hub4: IPv4Address
    hub6: IPv6Address
    interface: str
    mtu: int
    keepalive: int
    masquerade: bool
    tunnel: bool
    allowed_ips: tuple[Network, ...] = ()


class BackboneVpn(Struct, frozen=True, kw_only=True):
    """Settings that all backbone links share. `interface` is a pattern with `{}` for the slot.

    `allowed_ips` are networks outside of the UVN that links carry, too.
    """

    interface: str
    mtu: int
    keepalive: int
    allowed_ips: tuple[Network, ...] = ()


class BusPlan(Struct, frozen=True, kw_only=True):
    """The agents' bus: the middleware, and its DDS domain.

    Plans that were stored before there was a choice have no middleware: their agents use Cyclone.
    """

    middleware: Middleware = Middleware.CYCLONE
    domain: int = 46


class Plan(Struct, frozen=True, kw_only=True):
    """The whole network as decided.

    `ring` is the circular order of the public cells; `strategy` is what the links were chosen by.
    `masquerades_nodes`: a cell translates the addresses of other cells, and so of particles that
    come in through those, to its own on the way into its LANs.
    `public_keys` maps key ids (`model.key_ids`) to base64 public keys.
    """

    uvn: str
    identity: str
    owner: str
    pools: Pools
    timing: Timing
    backbone: BackboneVpn
    root: RootVpn | None = None
    particles_vpn: ParticlesVpn | None = None
    bus: BusPlan = BusPlan()
    cells: tuple[PlannedCell, ...] = ()
    particles: tuple[PlannedParticle, ...] = ()
    links: tuple[Link, ...] = ()
    strategy: Strategy = Strategy.CROSSED
    masquerades_nodes: bool = False
    ring: tuple[int, ...] = ()
    public_keys: dict[str, str] = {}


class BackbonePeer(Struct, frozen=True, kw_only=True):
    """One backbone link as its cell sees it: the interface, and the neighbour behind it.

    `endpoint` is `host:port`, or None where the neighbour dials. `key` and `psk` are ids of the
    secrets in the same package.
    """

    interface: str
    cell: int
    local4: IPv4Address
    local6: IPv6Address
    remote4: IPv4Address
    remote6: IPv6Address
    public_key: str
    key: str
    psk: str
    import_origins: CellSet
    port: int | None = None
    endpoint: str | None = None
    keepalive: int = 0


class RootPeer(Struct, frozen=True, kw_only=True):
    """The root VPN as a cell sees it: the registry behind one interface."""

    interface: str
    remote4: IPv4Address
    remote6: IPv6Address
    public_key: str
    key: str
    psk: str
    mtu: int
    port: int | None = None
    endpoint: str | None = None
    keepalive: int = 0


class ParticlesHub(Struct, frozen=True, kw_only=True):
    """The particle VPN as a cell serves it. The peers come in the package beside the plan."""

    interface: str
    address4: IPv4Address
    address6: IPv6Address
    port: int
    mtu: int
    key: str
    masquerade: bool


class CellPlan(Struct, frozen=True, kw_only=True):
    """The part of a plan that one cell needs, without secrets and roster."""

    uvn: str
    identity: str
    cell: int
    name: str
    backbone_mtu: int
    backbone_allowed_ips: tuple[Network, ...] = ()
    links: tuple[BackbonePeer, ...] = ()
    root: RootPeer | None = None
    particles: ParticlesHub | None = None
    bus: BusPlan = BusPlan()
    masquerades_nodes: bool = False
    httpd_port: int = 443
    web_files: CertificateFiles | None = None
    location: str | None = None


class ParticleIdentity(Struct, frozen=True, array_like=True):
    """A particle as all cells receive it. An array in JSON, since there may be thousands."""

    id: int
    name: str
    address4: IPv4Address
    address6: IPv6Address


class ParticlePeer(Struct, frozen=True, array_like=True):
    """A particle as a WireGuard peer of one cell. The keys differ from cell to cell."""

    particle: ParticleIdentity
    public_key: str
    psk: str
