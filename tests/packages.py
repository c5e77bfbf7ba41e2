"""Packages of a small UVN, for tests that need a cell but no registry.

`hub` has two LANs and an address, `home` one LAN behind NAT, `roam` an address and no LAN.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network

from msgspec.structs import replace

from uno.model.package import Manifest, Package
from uno.model.plan import ParticlePeer
from uno.model.uvn import Cell, Particle, User, Uvn
from uno.planning.cell_plans import cell_plans, roster
from uno.planning.planner import plan, required_keys, with_keys

HUB, HOME, ROAM = 1, 2, 3
LAN = IPv4Network("192.168.1.0/24")
LAN6 = IPv6Network("2001:db8:1::/64")
REMOTE = IPv4Network("192.168.2.0/24")
OWNER = "owner@example.org"
UVN = Uvn(
    name="net",
    identity="0123456789abcdef0123456789abcdef",
    owner=OWNER,
    address="registry.example.org",
    users=(User(email=OWNER),),
    cells=(
        Cell(id=HUB, name="hub", owner=OWNER, address="hub.example.org", allowed_lans=(LAN, LAN6)),
        Cell(id=HOME, name="home", owner=OWNER, allowed_lans=(REMOTE,)),
        Cell(id=ROAM, name="roam", owner=OWNER, address="2001:db8::3"),
    ),
    particles=tuple(Particle(id=n, name=f"p{n}", owner=OWNER) for n in range(1, 4)),
    next_cell=4,
    next_particle=4,
)


def key(name: str) -> str:
    """Return a key that is a digest of its id, and so not clamped."""
    return b64encode(sha256(name.encode()).digest()).decode()


def package_of(cell: int, uvn: Uvn = UVN, *, generation: int = 1) -> Package:
    """Return a cell's package, with keys that `key` makes."""
    draft = plan(uvn, None)
    needed = required_keys(draft)
    planned = with_keys(draft, {name: key(f"public {name}") for name in needed.pairs})
    own = cell_plans(planned)[cell]
    return Package(
        manifest=Manifest(
            format=1,
            uvn=uvn.name,
            identity=uvn.identity,
            cell=cell,
            cell_name=own.name,
            generation=generation,
            registry_key="",
            digests={},
        ),
        roster=roster(planned),
        plan=own,
        secrets={name: key(name) for name in (*needed.pairs, *needed.psks)},
        particles=tuple(
            ParticlePeer(
                particle=each.identity,
                public_key=key(f"public {each.name}"),
                psk=key(f"psk {each.name}"),
            )
            for each in planned.particles
        ),
    )


def with_metered(package: Package, cell: int) -> Package:
    """Return a package in whose roster a cell is metered."""
    metered = replace(package.roster.timing, metered=True, bfd_interval=20_000)
    members = (
        replace(it, timing=metered if it.id == cell else None) for it in package.roster.members
    )
    return replace(package, roster=replace(package.roster, members=tuple(members)))
