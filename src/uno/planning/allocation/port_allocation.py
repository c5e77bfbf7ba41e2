"""Allocates slots and their ports: no cell uses a slot twice, no host a port twice.

Slots number the links of a cell from 0. On a public cell a slot also gives the port: the cell's
first backbone port plus the slot. Cells that share a public address (behind one router, for
example) share its ports, so a slot is skipped if its port is in use on that host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from uno.diagnostics import Problem, Rejected

LAST_PORT = 65535


class Site(Struct, frozen=True, kw_only=True):
    """The host of a cell's links (None if private) and its first backbone port."""

    name: str
    host: str | None
    base: int


class Listener(Struct, frozen=True, kw_only=True):
    """A listener at a fixed UDP port of a host. `setting` is the key that changes the port."""

    what: str
    host: str
    port: int
    setting: str


class Slots:
    """The slots that are still free, cell by cell."""

    def __init__(self, sites: Mapping[int, Site], listeners: Iterable[Listener]) -> None:
        """Start with no slot in use. Raises `Rejected` if two listeners want the same port."""
        self._sites = sites
        self._ports = {(each.host, each.port) for each in _distinct(listeners)}
        self._used: set[tuple[int, int]] = set()
        self._spared: set[tuple[int, int]] = set()
        self._lowest = dict.fromkeys(sites, 0)

    def host(self, cell: int) -> str | None:
        """Return the host that a cell's ports are on, None for a private cell."""
        return self._sites[cell].host

    def port(self, cell: int, slot: int) -> int | None:
        """Return the port that belongs to a slot, None on a private cell."""
        site = self._sites[cell]
        return None if site.host is None else site.base + slot

    def claim(self, cell: int, slot: int) -> bool:
        """Take this slot if it and its port are free."""
        host, port = self._sites[cell].host, self.port(cell, slot)
        if (cell, slot) in self._used:
            return False
        if host is not None and port is not None:
            if port > LAST_PORT or (host, port) in self._ports:
                return False
            self._ports.add((host, port))
        self._used.add((cell, slot))
        return True

    def spare(self, cell: int, slot: int) -> None:
        """Use a slot only when no other is left: the old link in it may still be up."""
        self._spared.add((cell, slot))

    def take(self, cell: int) -> int:
        """Take the lowest free slot. Raises `Rejected` if the cell has no port left for one."""
        slot = self._lowest[cell]
        while (cell, slot) in self._spared or not self.claim(cell, slot):
            slot += 1
            if (self.port(cell, slot) or 0) > LAST_PORT:
                return self._take_spared(cell)
        self._lowest[cell] = slot + 1
        return slot

    def _take_spared(self, cell: int) -> int:
        for each, slot in sorted(self._spared):
            if each == cell and self.claim(cell, slot):
                return slot
        raise Rejected(_no_port_left(self._sites[cell]))


def _distinct(listeners: Iterable[Listener]) -> tuple[Listener, ...]:
    first: dict[tuple[str, int], Listener] = {}
    problems = []
    for each in listeners:
        other = first.setdefault((each.host, each.port), each)
        if other is not each:
            problems.append(_same_port(other, each))
    if problems:
        raise Rejected(*problems)
    return tuple(first.values())


def _same_port(one: Listener, other: Listener) -> Problem:
    return Problem(
        what=f"{one.what} and {other.what} would both listen on UDP port {one.port} of {one.host}",
        hint=f"give one of them another port with `{other.setting}`",
    )


def _no_port_left(site: Site) -> Problem:
    return Problem(
        what=f"{site.name} has no UDP port left for another backbone link: they start at "
        f"{site.base}, and {LAST_PORT} is the last there is",
        hint="set a lower `backbone_vpn_port` for this cell",
    )
