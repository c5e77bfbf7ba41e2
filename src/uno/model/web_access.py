"""What a cell's package holds for its web page: certificates, users, sealed keys of particles.

It is a secret of the package (`key_ids.WEB`), which an older uno ignores. Certificates are DER
(X.690); keys are bytes.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from msgspec import Struct

from uno.model import codec
from uno.model.key_ids import WEB
from uno.model.net import Network, network_order
from uno.model.package import Package
from uno.model.plan import CellPlan, Member

PERMITTED = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("fc00::/7"),
)
"""Where a UVN's root certificate is good for: private addresses (RFC 1918, 4193, 6598) alone.

Who trusts it trusts no UVN with an address of anyone else's.
"""


REGISTRY_PORT = 63443
"""The TCP port of the registry's own page, unless another is chosen."""

LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
"""The loopback interface, for which the root certificate is not good (RFC 1122, RFC 4291)."""


class WebUser(Struct, frozen=True, kw_only=True):
    """A user who may log in at the cell.

    `verifier` follows from the argon2id hash of the password (RFC 9106) with `salt`, `passes`,
    `memory` in KiB and `lanes`, which `size` bytes long is. `particles` are the user's particles
    at this cell, with their private and preshared keys, sealed (`render.web_seal`).
    """

    email: str
    salt: bytes
    passes: int
    memory: int
    lanes: int
    size: int
    verifier: bytes
    particles: bytes = b""


class ParticleSettings(Struct, frozen=True, kw_only=True):
    """What configurations of all particles at the cell have in common (`render.particle.conf`).

    `endpoint` is `host:port`, `public_key` the cell's in base64.
    """

    endpoint: str
    public_key: str
    mtu: int
    keepalive: int
    tunnel: bool
    networks: tuple[Network, ...] = ()


class WebAccess(Struct, frozen=True, kw_only=True):
    """The certificates of a cell's page, and who may see what.

    `root` is the UVN's certificate, `authority` the cell's own, which is good for nothing but its
    addresses and name, and `key` its P-256 private key, 32 bytes. `owner` owns the UVN and
    `cell_owner` the cell. `metrics_token` opens `/metrics`.
    """

    root: bytes
    authority: bytes
    key: bytes
    owner: str
    cell_owner: str
    metrics_token: str
    users: tuple[WebUser, ...] = ()
    particles: ParticleSettings | None = None

    def __repr__(self) -> str:
        return f"WebAccess({len(self.users)} users)"


def to_secret(access: WebAccess) -> str:
    """Return the text that a package's secrets have under `WEB`."""
    return b64encode(codec.encode(access)).decode()


def key_text(key: bytes) -> str:
    """Return a key as WireGuard writes it: in base64."""
    return b64encode(key).decode()


def of_package(package: Package) -> WebAccess | None:
    """Return what a package has for the page; None if the registry has made none yet."""
    text = package.secrets.get(WEB)
    if text is None:
        return None
    try:
        return codec.decode(b64decode(text, validate=True), WebAccess)
    except ValueError:
        return None


def host_name(cell: str, uvn: str) -> str:
    """Return the name of a cell's page: below `internal`, which ICANN has reserved."""
    return f"{cell}.{uvn}.internal"


def registry_host_name(uvn: str) -> str:
    """Return the name of the registry's own page."""
    return f"{uvn}.internal"


def page_networks(plan: CellPlan, member: Member) -> tuple[Network, ...]:
    """Return the networks in which the cell serves its page, at its own addresses.

    Those of links are not among them: the node's address is reached over every link.
    """
    return tuple(sorted(set(_networks(plan, member)), key=network_order))


def networks(plan: CellPlan, member: Member) -> tuple[Network, ...]:
    """Return the networks in which the cell's certificate is good for its addresses."""
    return tuple(filter(permitted, page_networks(plan, member)))


def permitted(network: Network) -> bool:
    """Whether the UVN's root certificate is good for a network."""
    # As `subnet_of`, which takes ten times as long.
    return any(
        network.version == it.version
        and network.prefixlen >= it.prefixlen
        and network.network_address in it
        for it in PERMITTED
    )


def _networks(plan: CellPlan, member: Member) -> Iterator[Network]:
    found: list[Network] = list(member.lans)
    found += [IPv4Network(member.node4), IPv6Network(member.node6)]
    if plan.particles:
        # The same at all cells, as each particle has one cell at a time.
        found += [IPv4Network(plan.particles.address4), IPv6Network(plan.particles.address6)]
    yield from found
