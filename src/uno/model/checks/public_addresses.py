"""Public addresses that other sites cannot connect to, though they are addresses of a host.

`syntax.host_fault` refuses what is never the address of a remote host; here an address is compared
with the networks of the UVN.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, NamedTuple

from uno.diagnostics import Severity
from uno.model.checks.finding import Finding, Findings, Path
from uno.model.net import address, ula
from uno.model.syntax import host_fault, shown

if TYPE_CHECKING:
    from uno.model.net import Address, Network
    from uno.model.uvn import Uvn


def check(uvn: Uvn) -> Findings:
    """Find public addresses in LANs and pools of the UVN; warn of private ones and IPv6 ones."""
    networks = [*_pools(uvn), *_lans(uvn)]
    for written in _public_addresses(uvn):
        taken = next((each for each in networks if written.ip in each.network), None)
        if taken is not None:
            yield Finding(
                path=written.path,
                what=f"{written.what} is in {taken.what}",
                hint=taken.hint,
                also=(taken.path,) if taken.path else (),
            )
        elif private := _private_kind(written.ip):
            yield Finding(
                path=written.path,
                what=f"{written.what} is {private}, which no site on the Internet can connect to",
                hint="write the public address, unless all sites are in one private network",
                severity=Severity.WARNING,
            )
        elif written.ip.version == 6 and (others := _without_ipv6(uvn, written)):
            yield Finding(
                path=written.path,
                what=f"{written.what} is IPv6, and nothing shows that {others} can connect to it",
                hint="write a name that has an IPv4 address too, unless these cells have IPv6",
                needs=(("cells",),),
                severity=Severity.WARNING,
            )


class _PublicAddress(NamedTuple):
    ip: Address
    path: Path
    what: str


class _UvnNetwork(NamedTuple):
    """A network of the UVN; `path` is empty where no setting has it."""

    network: Network
    path: Path
    what: str
    hint: str


def _public_addresses(uvn: Uvn) -> list[_PublicAddress]:
    texts = [
        (("address",), uvn.address, "the registry"),
        *(
            (("cells", index, "address"), cell.address, shown(cell.name))
            for index, cell in enumerate(uvn.cells)
            if not cell.excluded
        ),
    ]
    return [
        _PublicAddress(ip=ip, path=path, what=f"address {ip} of {name}")
        for path, text, name in texts
        if text is not None and (ip := _ip(text)) is not None
    ]


def _ip(text: str) -> Address | None:
    """Return the address that `text` is, None for a name and for what `host_fault` refuses."""
    try:
        found = address(text)
    except ValueError:
        return None
    return None if host_fault(text) else found


def _without_ipv6(uvn: Uvn, written: _PublicAddress) -> str:
    """Name the other cells without an IPv6 address or LAN that the Internet can answer."""
    names = [
        shown(cell.name)
        for index, cell in enumerate(uvn.cells)
        if not cell.excluded
        and ("cells", index, "address") != written.path
        and not any(lan.version == 6 and lan.subnet_of(_GLOBAL6) for lan in cell.allowed_lans)
        and not (cell.address and (ip := _ip(cell.address)) and ip.version == 6)
    ]
    return ", ".join([*names[:5], *(["…"] if len(names) > 5 else [])])


def _pools(uvn: Uvn) -> list[_UvnNetwork]:
    hint = "write the address that the host has without uno"
    pools: list[tuple[Path, Network, str]] = [
        (("settings", key, "subnet"), getattr(uvn.settings, key).subnet, f"the {key} subnet")
        for key in ("root_vpn", "particles_vpn", "backbone_vpn")
    ]
    pools.append(((), ula(uvn.identity), "the UVN's IPv6 prefix"))
    return [_UvnNetwork(net, path, f"{what} {net}", hint) for path, net, what in pools]


def _lans(uvn: Uvn) -> list[_UvnNetwork]:
    return [
        _UvnNetwork(
            network=lan,
            path=("cells", number, "allowed_lans", index),
            what=f"LAN {lan} of {shown(cell.name)}, which other sites reach through the UVN alone",
            hint="write the address that other sites connect to, or correct the LAN",
        )
        for number, cell in enumerate(uvn.cells)
        if not cell.excluded
        for index, lan in enumerate(cell.allowed_lans)
    ]


def _private_kind(found: Address) -> str | None:
    return next((kind for block, kind in _PRIVATE if found in block), None)


# What the whole Internet can answer (IANA, IPv6 global unicast).
_GLOBAL6 = IPv6Network("2000::/3")

_PRIVATE = tuple(
    ((IPv6Network if ":" in block else IPv4Network)(block), kind)
    for block, kind in (
        ("10.0.0.0/8", "private (RFC 1918)"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("100.64.0.0/10", "shared by customers of a provider (RFC 6598)"),
        ("fc00::/7", "a unique local address (RFC 4193)"),
        ("fec0::/10", "a site-local address (RFC 3879)"),
    )
)
