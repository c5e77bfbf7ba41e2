"""UDP ports with two listeners, and interface names that are used twice.

TCP is apart: a cell's `httpd_port` collides with none of these.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from uno.model.checks.finding import Finding, Findings, Path
from uno.model.checks.link_counts import most_links
from uno.model.syntax import quoted, same_host, shown

if TYPE_CHECKING:
    from uno.model.uvn import Cell, Uvn

LAST_PORT = 65535


def check(uvn: Uvn) -> Findings:
    """Find ports and interface names that are used twice."""
    hosts: dict[str, list[_Listener]] = defaultdict(list)
    if uvn.address is not None and uvn.settings.enable_root_vpn:
        hosts[same_host(uvn.address)].append(_registry(uvn))
    most = most_links(uvn)
    for index, cell in enumerate(uvn.cells):
        if cell.address is not None and not cell.excluded:
            hosts[same_host(cell.address)] += _listeners(
                uvn, cell, ("cells", index), most[cell.name]
            )
    # A port that is wrong for all cells is worth one line, not one for each cell.
    found: dict[tuple[Path, tuple[Path, ...]], Finding] = {}
    for listeners in hosts.values():
        for finding in _check_host(listeners):
            found.setdefault((finding.path, finding.also), finding)
    yield from found.values()
    yield from _check_interfaces(uvn)


class _Listener(NamedTuple):
    """A listener at the UDP ports `first` to `last` of a host.

    `setting` is the path of the setting that gives the port, `place` that of the address.
    """

    what: str
    setting: Path
    place: Path
    first: int
    last: int

    @property
    def is_backbone(self) -> bool:
        return "backbone_vpn" in self.setting or "backbone_vpn_port" in self.setting

    @property
    def is_cells_own(self) -> bool:
        return self.setting[0] == "cells"


def _registry(uvn: Uvn) -> _Listener:
    port = uvn.settings.root_vpn.port
    return _Listener("the registry", ("settings", "root_vpn", "port"), ("address",), port, port)


def _listeners(uvn: Uvn, cell: Cell, path: Path, links: int) -> list[_Listener]:
    settings, own, name = uvn.settings, cell.settings, shown(cell.name)
    place = (*path, "address")
    found = []
    root = own.root_vpn_port or settings.root_vpn.peer_port
    if settings.enable_root_vpn and root:
        source = _source(path, own.root_vpn_port, "root_vpn", "peer_port")
        found.append(_Listener(f"the root VPN of {name}", source, place, root, root))
    particles = own.particles_vpn_port or settings.particles_vpn.port
    if settings.enable_particles_vpn and own.enable_particles_vpn:
        source = _source(path, own.particles_vpn_port, "particles_vpn", "port")
        what = f"the particle VPN of {name}"
        found.append(_Listener(what, source, place, particles, particles))
    base = own.backbone_vpn_port or settings.backbone_vpn.port
    last = base + max(1, links) - 1
    source = _source(path, own.backbone_vpn_port, "backbone_vpn", "port")
    return [*found, _Listener(f"the backbone of {name}", source, place, base, last)]


def _source(cell: Path, own: int | None, vpn: str, key: str) -> Path:
    return ("settings", vpn, key) if own is None else (*cell, "settings", f"{vpn}_port")


def _check_host(listeners: list[_Listener]) -> Findings:
    for listener in listeners:
        if listener.first <= LAST_PORT < listener.last:
            yield Finding(
                path=listener.setting,
                what=f"{listener.what} may need the UDP ports {listener.first} to {listener.last}, "
                f"and {LAST_PORT} is the last there is",
                hint="use a lower port",
                needs=(("cells",),),
            )
    single: dict[int, _Listener] = {}
    for listener in listeners:
        if not listener.is_backbone:
            other = single.setdefault(listener.first, listener)
            if other is not listener:
                yield _collision(other, listener)
    # The planner shares the backbone ports of a host out among the cells that are on it.
    for listener in listeners:
        for port, other in single.items():
            if listener.is_backbone and listener.first <= port <= listener.last:
                yield _collision(other, listener)


def _collision(one: _Listener, other: _Listener) -> Finding:
    # What one cell sets for itself is easier to change than what it shares with all.
    fixed, blamed = sorted((one, other), key=lambda each: (each.is_cells_own, each.place))
    if blamed.setting != fixed.setting:
        path, also = blamed.setting, fixed.setting
        hint = "use another port for one of them"
    else:
        path, also = blamed.place, fixed.place
        hint = "give one of them a port of its own, under its settings"
    return Finding(
        path=path, what=_what(blamed, fixed), hint=hint, also=(also,), needs=(("cells",),)
    )


def _what(blamed: _Listener, fixed: _Listener) -> str:
    if blamed.first == fixed.first:
        return f"{blamed.what} and {fixed.what} would both listen on UDP port {blamed.first}"
    many, single = (blamed, fixed) if blamed.is_backbone else (fixed, blamed)
    return (
        f"{many.what} may need the UDP ports {many.first} to {many.last}, "
        f"and {single.what} listens on {single.first}"
    )


def _check_interfaces(uvn: Uvn) -> Findings:
    # uno0 is the dummy interface that holds the node's own address.
    seen: dict[str, Path] = {"uno{}": ()}
    for key in ("root_vpn", "particles_vpn", "backbone_vpn"):
        path: Path = ("settings", key, "interface")
        pattern = getattr(uvn.settings, key).interface
        # Patterns that are equal without the digits at the number could give the same name.
        taken = seen.setdefault(re.sub(r"\d*\{\}\d*", "{}", pattern), path)
        if taken != path:
            other = taken[1] if taken else "uno itself"
            yield Finding(
                path=path,
                what=f"the interfaces {quoted(pattern)} could have the names of those of {other}",
                hint="use another pattern",
                also=(taken,) if taken else (),
            )
