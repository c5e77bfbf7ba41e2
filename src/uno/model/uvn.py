"""What the owner of a network declares: users, cells, particles and settings.

A `Uvn` that `spec` or `registry.changes.operations` made is whole and valid.
Names, defaults and numbers are those of the seed (its README, and the first implementation).
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Network
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from uno.model.net import Network


class Strategy(StrEnum):
    """How the backbone's links are chosen."""

    CROSSED = "crossed"
    CIRCULAR = "circular"
    FULL_MESH = "full-mesh"
    STATIC = "static"
    RANDOM = "random"


class TimingProfile(StrEnum):
    """How fast the network notices a change; `planning.timing` has the numbers."""

    DEFAULT = "default"
    FAST = "fast"
    METERED = "metered"


class Middleware(StrEnum):
    """What carries the messages of the agents: TCP, or a DDS implementation; one per UVN."""

    TCP = "tcp"
    CYCLONE = "cyclone"
    CONNEXT = "connext"


class User(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person who owns the UVN, cells or particles. `password` is an argon2id hash (PHC)."""

    email: str
    name: str | None = None
    password: str | None = None
    excluded: bool = False


class WebSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The web page of a cell: a certificate of its owner's, beside the one that the UVN gives it.

    `certificate` and `key` are absolute paths on the cell's host, of PEM files (RFC 7468): the
    certificate with its chain, the certificate first, and its private key without a passphrase.
    """

    certificate: str | None = None
    key: str | None = None


class CellSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one cell does differently. A port or timing profile that is None is the UVN's."""

    enable_particles_vpn: bool = True
    httpd_port: int = 443
    location: str | None = None
    web: WebSettings = WebSettings()
    root_vpn_port: int | None = None
    particles_vpn_port: int | None = None
    backbone_vpn_port: int | None = None
    timing_profile: TimingProfile | None = None


class Cell(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gateway host. With an `address` it is public, without private; without LANs it is roaming.

    `id` counts from 1 in order of registration and is never used again.
    """

    id: int
    name: str
    owner: str
    address: str | None = None
    allowed_lans: tuple[Network, ...] = ()
    settings: CellSettings = CellSettings()
    excluded: bool = False

    @property
    def is_public(self) -> bool:
        """Whether other nodes can open a connection to this cell."""
        return self.address is not None

    @property
    def is_roaming(self) -> bool:
        """Whether this cell attaches no LAN and only routes."""
        return not self.allowed_lans


class Particle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mobile peer with a stock WireGuard app. `id` counts from 1 and is never used again."""

    id: int
    name: str
    owner: str
    excluded: bool = False


class VpnSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the three kinds of WireGuard network.

    `port` is where the hub listens (registry, cell), for the backbone the first port of each
    cell; `peer_port` where the peers of the root VPN listen; `subnet` the IPv4 pool; `interface`
    a pattern with `{}` for a number; `peer_mtu` bytes; `keepalive` seconds, 0 for none.
    `allowed_ips` are networks outside of the UVN: those that links carry too, or that particles
    without `tunnel` reach through their cell. `masquerade` of the root VPN is about the cells'
    addresses, which are in its subnet. `forward` is as in the seed's files, and has one value for
    each network (`checks.vpn_settings`).
    """

    port: int
    subnet: IPv4Network
    interface: str
    peer_port: int | None = None
    allowed_ips: tuple[Network, ...] = ()
    peer_mtu: int = 1320
    masquerade: bool = False
    forward: bool = True
    tunnel: bool = False
    keepalive: int = 25


ROOT_VPN = VpnSettings(
    port=63447,
    peer_port=63448,
    subnet=IPv4Network("10.255.128.0/22"),
    interface="uwg-v{}",
    masquerade=True,
    forward=False,
)
PARTICLES_VPN = VpnSettings(
    port=63449,
    subnet=IPv4Network("10.254.0.0/16"),
    interface="uwg-p{}",
    masquerade=True,
    tunnel=True,
)
BACKBONE_VPN = VpnSettings(port=63550, subnet=IPv4Network("10.255.192.0/20"), interface="uwg-b{}")


class DeploymentSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the backbone is laid out.

    `strategy_args` depends on the strategy: for static, cell name to names of its peers.
    `private_uplinks` is the number of links of each private cell under crossed and circular.
    `seed` feeds the random strategy.
    """

    strategy: Strategy = Strategy.CROSSED
    strategy_args: dict[str, Any] = {}
    private_uplinks: int = 1
    seed: int = 0


class NotifySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is notified of losses and of what works again (`model.notification_targets`).

    `to` are URLs, with their secrets. `via` are the names of the cells that may send, by default
    the public ones. The first of them that is alive fetches `heartbeat` every five minutes, so that
    a service outside of the UVN notices its silence. `hold` is for how many seconds something is
    lost, or works again, before anybody is notified.
    """

    to: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    heartbeat: str | None = None
    hold: int = 60


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the whole UVN."""

    timing_profile: TimingProfile = TimingProfile.DEFAULT
    middleware: Middleware = Middleware.TCP
    enable_root_vpn: bool = True
    enable_particles_vpn: bool = True
    dds_domain: int = 46
    deployment: DeploymentSettings = DeploymentSettings()
    notify: NotifySettings = NotifySettings()
    root_vpn: VpnSettings = ROOT_VPN
    particles_vpn: VpnSettings = PARTICLES_VPN
    backbone_vpn: VpnSettings = BACKBONE_VPN


class Uvn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole definition.

    `identity` is 32 hexadecimal digits, drawn once; the IPv6 prefix comes from it. `address` is
    the registry's public name or address. `next_cell` and `next_particle` are the ids to give
    next, so that the id of a deleted one is not given again. Users are sorted by e-mail, cells and
    particles by id; the owner is among the users.
    """

    name: str
    identity: str
    owner: str
    address: str | None = None
    users: tuple[User, ...] = ()
    cells: tuple[Cell, ...] = ()
    particles: tuple[Particle, ...] = ()
    settings: Settings = Settings()
    next_cell: int = 1
    next_particle: int = 1

    @property
    def active_cells(self) -> tuple[Cell, ...]:
        """The cells that take part: not excluded."""
        return tuple(cell for cell in self.cells if not cell.excluded)

    @property
    def active_particles(self) -> tuple[Particle, ...]:
        """The particles that may connect: neither they nor their owners are excluded."""
        banned = {user.email for user in self.users if user.excluded}
        return tuple(p for p in self.particles if not p.excluded and p.owner not in banned)


def with_added_cell(uvn: Uvn, cell: Cell) -> Uvn:
    """Return `uvn` with `cell` under the next id."""
    added = replace(cell, id=uvn.next_cell)
    return replace(uvn, cells=(*uvn.cells, added), next_cell=uvn.next_cell + 1)


def with_added_particle(uvn: Uvn, particle: Particle) -> Uvn:
    """Return `uvn` with `particle` under the next id."""
    added = replace(particle, id=uvn.next_particle)
    return replace(uvn, particles=(*uvn.particles, added), next_particle=uvn.next_particle + 1)
