"""Settings of the three WireGuard networks that would have no effect: they are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from uno.model.checks.finding import Finding, Findings
from uno.model.uvn import Settings

if TYPE_CHECKING:
    from uno.model.uvn import Uvn


class _Fixed(NamedTuple):
    """A setting that one network has its default for, and no other value; `why` is the reason."""

    vpn: str
    key: str
    why: str
    hint: str


_LEAVE_OUT = "leave it out"
_FIXED = (
    _Fixed(
        "root_vpn",
        "allowed_ips",
        "it carries the registry's and the cells' own packets alone",
        "give a network to the cell that it is at: allowed_lans",
    ),
    _Fixed("root_vpn", "forward", "nothing is forwarded into it or out of it", _LEAVE_OUT),
    _Fixed("root_vpn", "tunnel", "what else a cell sends stays on its own line", _LEAVE_OUT),
    _Fixed(
        "particles_vpn",
        "peer_port",
        "particles connect, and listen at no port",
        "the cells' port is particles_vpn.port",
    ),
    _Fixed(
        "particles_vpn",
        "forward",
        "particles reach the UVN through what their cell forwards",
        "to serve no particles, set enable_particles_vpn to false",
    ),
    _Fixed(
        "backbone_vpn",
        "peer_port",
        "both ends of a link listen at ports from port on",
        "set port, or backbone_vpn_port of a cell",
    ),
    _Fixed(
        "backbone_vpn",
        "masquerade",
        "LANs reach each other by their own addresses",
        "what translates the cells' own addresses is root_vpn.masquerade",
    ),
    _Fixed(
        "backbone_vpn",
        "forward",
        "cells reach each other through what others forward",
        "to choose the links, use the static strategy",
    ),
    _Fixed(
        "backbone_vpn",
        "tunnel",
        "what else a site sends stays on its own line",
        "for particles, set particles_vpn.tunnel",
    ),
)


def check(uvn: Uvn) -> Findings:
    """Find settings that a network does not have, and those that another makes meaningless."""
    default = Settings()
    for each in _FIXED:
        value = getattr(getattr(uvn.settings, each.vpn), each.key)
        if value != getattr(getattr(default, each.vpn), each.key):
            yield Finding(
                path=("settings", each.vpn, each.key),
                what=f"{each.vpn} cannot have {each.key}: {_shown(value)}, since {each.why}",
                hint=each.hint,
            )
    particles = uvn.settings.particles_vpn
    if particles.allowed_ips and particles.tunnel:
        yield Finding(
            path=("settings", "particles_vpn", "allowed_ips"),
            what="particles_vpn has allowed_ips, but particles send everything to their cell",
            hint="leave allowed_ips out, or set tunnel to false",
        )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
