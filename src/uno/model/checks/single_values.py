"""Single values: names, addresses, numbers in range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.model.checks.finding import Finding, Findings, Path
from uno.model.syntax import (
    Fault,
    email_fault,
    file_fault,
    host_fault,
    interface_fault,
    name_fault,
    text_fault,
)

if TYPE_CHECKING:
    from uno.model.uvn import Cell, Settings, Uvn, VpnSettings, WebSettings

PORTS = range(1, 65536)
# RTPS 2.5, 9.6.2.3: UDP port 7400 + 250 * domain, which passes 65535 above 232.
DDS_DOMAINS = range(233)
# 576: what every IPv4 host takes, RFC 1122 section 3.3.3. 9000: the usual jumbo frame.
MTUS = range(576, 9001)
# RFC 8200 section 5: IPv6 needs 1280, and every link, cell and particle has an IPv6 address.
IPV6_MTU = 1280
# wg(8): PersistentKeepalive is 16 bits.
KEEPALIVES = range(65536)


def check(uvn: Uvn) -> Findings:
    """Find names, addresses and numbers that are not well formed or out of range."""
    yield from _fault(("name",), name_fault(uvn.name))
    if uvn.address is not None:
        yield from _fault(("address",), host_fault(uvn.address))
    for index, user in enumerate(uvn.users):
        yield from _fault(("users", index, "email"), email_fault(user.email))
        if user.name is not None:
            yield from _fault(("users", index, "name"), text_fault(user.name))
    for index, cell in enumerate(uvn.cells):
        yield from _check_cell(cell, ("cells", index))
    for index, particle in enumerate(uvn.particles):
        yield from _fault(("particles", index, "name"), name_fault(particle.name))
    yield from _check_settings(uvn.settings)


def _check_cell(cell: Cell, path: Path) -> Findings:
    yield from _fault((*path, "name"), name_fault(cell.name))
    if cell.address is not None:
        yield from _fault((*path, "address"), host_fault(cell.address))
    settings = cell.settings
    if settings.location is not None:
        yield from _fault((*path, "settings", "location"), text_fault(settings.location))
    yield from _check_web(settings.web, (*path, "settings", "web"))
    for key in ("httpd_port", "root_vpn_port", "particles_vpn_port", "backbone_vpn_port"):
        yield from _in_range((*path, "settings", key), getattr(settings, key), PORTS)


def _check_web(web: WebSettings, path: Path) -> Findings:
    files = {"certificate": web.certificate, "key": web.key}
    for key, name in files.items():
        if name is not None:
            yield from _fault((*path, key), text_fault(name) or file_fault(name))
    if len([name for name in files.values() if name is not None]) == 1:
        yield Finding(
            path=path,
            what="a certificate of the page's own needs its private key, and a key its certificate",
            hint="give web.certificate and web.key, or neither",
        )


def _check_settings(settings: Settings) -> Findings:
    yield from _in_range(("settings", "dds_domain"), settings.dds_domain, DDS_DOMAINS)
    for key in ("root_vpn", "particles_vpn", "backbone_vpn"):
        yield from _check_vpn(getattr(settings, key), ("settings", key))
    uplinks = settings.deployment.private_uplinks
    if uplinks < 1:
        yield Finding(
            path=("settings", "deployment", "private_uplinks"),
            what=f"private_uplinks is {uplinks}",
            hint="give each private cell 1 link or more",
        )


def _check_vpn(vpn: VpnSettings, path: Path) -> Findings:
    yield from _in_range((*path, "port"), vpn.port, PORTS)
    yield from _in_range((*path, "peer_port"), vpn.peer_port, PORTS)
    yield from _in_range((*path, "keepalive"), vpn.keepalive, KEEPALIVES)
    yield from _in_range((*path, "peer_mtu"), vpn.peer_mtu, MTUS)
    if vpn.peer_mtu in MTUS and vpn.peer_mtu < IPV6_MTU:
        yield Finding(
            path=(*path, "peer_mtu"),
            what=f"peer_mtu {vpn.peer_mtu} is too small for IPv6, which every link carries",
            hint=f"use {IPV6_MTU} to {MTUS[-1]}",
        )
    yield from _fault((*path, "interface"), interface_fault(vpn.interface))


def _in_range(path: Path, number: int | None, allowed: range) -> Findings:
    if number is not None and number not in allowed:
        yield Finding(
            path=path,
            what=f"{path[-1]} {number} is out of range",
            hint=f"use {allowed[0]} to {allowed[-1]}",
        )


def _fault(path: Path, fault: Fault | None) -> Findings:
    if fault:
        yield Finding(path=path, what=fault.what, hint=fault.hint)
