"""What is wrong in the network: causes, and not what follows from them. Pure.

One silent site is one alert, not one for each cell that does not reach its LANs and for each of its
links. What follows from a cause is counted with it. The order in which causes explain others:

1. the viewer has no contact with any cell, or the registry's agent does not run: what is known of
   cells is old;
2. a cell is silent: its links, its LANs, and cells that are joined to the rest by it alone;
3. a cell reports a fault of its own, or a LAN that is detached: its links, and its LANs;
4. links are down: LANs of cells that no other links join;
5. what is left of LANs that cells do not reach.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from msgspec import Struct, field
from msgspec.structs import replace

from uno.diagnosis.cell_checks import CLOCK_DIFFERENCE
from uno.diagnosis.cell_faults import age, first, own_faults
from uno.diagnosis.registry_checks import own_obstacles
from uno.model.messages import REGISTRY
from uno.model.net import Network
from uno.model.status import CellView
from uno.web.documents import Alert, AlertKind, AlertSeverity, CellHealth, LanHealth, LinkHealth
from uno.web.picture import Picture, link_name

_RANK = {AlertSeverity.CRITICAL: 0, AlertSeverity.WARNING: 1, AlertSeverity.INFO: 2}

# Faults of one cell that have an alert each; the last one counts the rest.
_MOST_FAULTS = 4


def alerts(picture: Picture) -> tuple[Alert, ...]:
    """Return what is wrong, what matters most first."""
    found = _Causes(picture)
    return tuple(sorted(found.all(), key=lambda each: (_RANK[each.severity], each.id)))


class _Causes(Struct):
    """The causes that were found; `explained` are cells whose links and LANs need no alert."""

    picture: Picture
    consequences: Counter[str] = field(default_factory=Counter)
    explained: dict[int, str] = field(default_factory=dict)

    def all(self) -> Iterator[Alert]:
        found = [
            *self._isolation(),
            *self._silent_cells(),
            *self._faulty_cells(),
            *self._links(),
            *self._clocks(),
        ]
        found += self._unreached_lans(found)
        found += self._of_the_whole()
        for each in found:
            yield replace(each, consequences=self.consequences[each.id])

    # Cells.

    def _isolation(self) -> Iterator[Alert]:
        picture, viewer = self.picture, self.picture.view.viewer
        others = [each for each in picture.view.cells if each.id != viewer]
        if others and viewer == REGISTRY and not picture.view.registry:
            yield self._without_agent(others)
            return
        known = [each for each in others if each.status is not None]
        if not known or any(each.alive for each in others):
            return
        where = picture.name(viewer) if viewer != REGISTRY else "the registry"
        alert = Alert(
            id=AlertKind.ISOLATED,
            kind=AlertKind.ISOLATED,
            severity=AlertSeverity.CRITICAL,
            what=f"{where} has no contact with any other cell: what is known of them is old",
            remedy=f"see that the host of {where} reaches the Internet; there: uno doctor",
            cells=(viewer,) if viewer in picture.cells else (),
        )
        self.consequences[alert.id] = len(others)
        self.explained.update((each.id, alert.id) for each in others)
        yield alert

    def _without_agent(self, cells: list[CellView]) -> Alert:
        alert = _whole(
            AlertKind.REGISTRY_LOST,
            AlertSeverity.WARNING,
            "the registry's agent does not run: what cells do is not known here",
            "start it at the registry: uno agent",
        )
        self.consequences[alert.id] = len(cells)
        self.explained.update((each.id, alert.id) for each in cells)
        return alert

    def _silent_cells(self) -> Iterator[Alert]:
        """Yield silent cells beside one in contact; those behind them are their consequences."""
        view = self.picture.view
        silent = {
            cell.id: cell
            for cell in view.cells
            if not cell.alive and cell.id != view.viewer and cell.id not in self.explained
        }
        beside = [cell for cell in silent if not self._neighbors(cell) <= silent.keys()]
        for start in beside:
            yield self._silence(silent[start])
        self._explain_behind(silent.keys())
        for start, cell in silent.items():
            # A part of the network that was never joined with the rest.
            if start not in self.explained:
                yield self._silence(cell)
                self._explain_behind(silent.keys())

    def _explain_behind(self, behind: AbstractSet[int]) -> None:
        """Have silent cells follow from those that lie before them, however far."""
        edge = [cell for cell in self.explained if cell in behind]
        while edge:
            cause = edge.pop(0)
            for cell in sorted(self._neighbors(cause) & behind - self.explained.keys()):
                self.consequences[self.explained[cause]] += 1
                self.explained[cell] = self.explained[cause]
                edge.append(cell)

    def _neighbors(self, cell: int) -> set[int]:
        return {each for pair in self.picture.links_of.get(cell, ()) for each in pair} - {cell}

    def _silence(self, cell: CellView) -> Alert:
        is_new = cell.status is None
        kind = AlertKind.CELL_NEVER_SEEN if is_new else AlertKind.CELL_SILENT
        last = "" if cell.age is None else f" for {age(cell.age)}"
        alert = Alert(
            id=f"{kind}:{cell.id}",
            kind=kind,
            severity=AlertSeverity.WARNING if is_new else AlertSeverity.CRITICAL,
            what=f"{cell.name}: {own_faults(cell)[0]}" if is_new else _silence(cell, last),
            remedy=f"see that {cell.name} is on and has the Internet; there: uno doctor",
            cells=(cell.id,),
            lans=tuple(str(lan) for lan, owner in self.picture.lans if owner == cell.id),
        )
        self.explained[cell.id] = alert.id
        return alert

    def _faulty_cells(self) -> Iterator[Alert]:
        rolling_out = bool(self.picture.view.rollout)
        for cell in self.picture.view.cells:
            if cell.alive and cell.status is not None:
                found = tuple(self._faults(cell, rolling_out=rolling_out))
                yield from found
                if any(each.kind is not AlertKind.CELL_BEHIND for each in found):
                    self.explained.setdefault(cell.id, found[0].id)

    def _faults(self, cell: CellView, *, rolling_out: bool) -> Iterator[Alert]:
        health, why = self.picture.cell_health(cell)
        remedy = f"on {cell.name}: uno doctor"
        if cell.unproven:
            yield self._of_cell(cell, AlertKind.CELL_UNPROVEN, AlertSeverity.CRITICAL, why, remedy)
            return
        faults = list(own_faults(cell))
        if health is CellHealth.BEHIND:
            fault = faults.pop(0)
            if not rolling_out:
                yield self._of_cell(
                    cell, AlertKind.CELL_BEHIND, AlertSeverity.WARNING, fault, "uno sync"
                )
        status = cell.status
        missing = [lan.network for lan in status.lans if not lan.interface] if status else []
        if missing:
            faults = faults[len(first(map(str, missing))) :]
            faults = list(filter(None, (_without(fault, missing) for fault in faults)))
            listed = ", ".join(first(map(str, missing)))
            alert = self._of_cell(
                cell,
                AlertKind.LAN_DETACHED,
                AlertSeverity.CRITICAL,
                f"the host has no interface in its LAN {listed}",
                f"see the cable and the address of {cell.name}'s host in that LAN",
            )
            yield replace(alert, lans=tuple(map(str, missing)))
        for number, fault in enumerate(faults[:_MOST_FAULTS]):
            left = len(faults) - _MOST_FAULTS
            more = f" (and {left} more)" if left > 0 and number == _MOST_FAULTS - 1 else ""
            alert = self._of_cell(
                cell, AlertKind.CELL_FAULT, AlertSeverity.WARNING, f"{fault}{more}", remedy
            )
            yield replace(alert, id=f"{alert.id}:{number}")

    def _of_cell(
        self, cell: CellView, kind: AlertKind, severity: AlertSeverity, what: str, remedy: str
    ) -> Alert:
        return Alert(
            id=f"{kind}:{cell.id}",
            kind=kind,
            severity=severity,
            what=f"{cell.name}: {what}",
            remedy=remedy,
            cells=(cell.id,),
        )

    # Links.

    def _links(self) -> Iterator[Alert]:
        picture = self.picture
        down = [pair for pair in picture.links if picture.link_health[pair][0] is LinkHealth.DOWN]
        left = []
        for pair in down:
            cause = self._explanation_of_link(pair)
            if cause:
                self.consequences[cause] += 1
            else:
                left.append(pair)
        lone = [cell for cell, pairs in picture.links_of.items() if len(pairs) > 1]
        for cell in lone:
            mine = [pair for pair in left if cell in pair]
            if mine and len(mine) == len(picture.links_of[cell]):
                yield self._all_links(cell, mine)
                left = [pair for pair in left if cell not in pair]
        for pair in left:
            cell, fault = picture.link_faults(pair)[0]
            yield Alert(
                id=f"{AlertKind.LINK_DOWN}:{link_name(pair)}",
                kind=AlertKind.LINK_DOWN,
                severity=AlertSeverity.WARNING,
                what=f"the link {picture.name(pair[0])} – {picture.name(pair[1])} is down:"
                f" {picture.name(cell)}'s {fault.what}",
                remedy=fault.remedy,
                cells=pair,
                links=(link_name(pair),),
            )
        for pair in picture.links:
            health, why = picture.link_health[pair]
            if health is LinkHealth.DEGRADED:
                yield Alert(
                    id=f"{AlertKind.LINK_DEGRADED}:{link_name(pair)}",
                    kind=AlertKind.LINK_DEGRADED,
                    severity=AlertSeverity.WARNING,
                    what=f"the link {picture.name(pair[0])} – {picture.name(pair[1])}: {why}",
                    remedy="see what else uses the Internet access at both sites, and the path's"
                    " packet size: uno doctor",
                    cells=pair,
                    links=(link_name(pair),),
                )

    def _explanation_of_link(self, pair: tuple[int, int]) -> str:
        """Return the alert that a link which is down follows from, empty if there is none."""
        for cell in pair:
            seen = self.picture.cells[cell]
            if cell in self.explained and (not seen.alive or own_obstacles(seen)):
                return self.explained[cell]
        return ""

    def _all_links(self, cell: int, pairs: list[tuple[int, int]]) -> Alert:
        name = self.picture.name(cell)
        alert = Alert(
            id=f"{AlertKind.LINKS_DOWN}:{cell}",
            kind=AlertKind.LINKS_DOWN,
            severity=AlertSeverity.CRITICAL,
            what=f"{name}: all of its {len(pairs)} links are down",
            remedy=f"on {name}: uno doctor; its Internet access, a firewall there or its routing"
            " is at fault",
            cells=(cell,),
            links=tuple(map(link_name, pairs)),
        )
        self.explained[cell] = alert.id
        return alert

    # Clocks.

    def _clocks(self) -> Iterator[Alert]:
        ahead = {
            cell.id: off
            for cell in self.picture.view.cells
            if (off := clock_ahead(self.picture, cell)) is not None
            and abs(off) > CLOCK_DIFFERENCE
            and cell.id != self.picture.view.viewer
        }
        others = [it for it in self.picture.view.cells if clock_ahead(self.picture, it) is not None]
        if len(ahead) > 1 and 2 * len(ahead) > len(others):
            middle = sorted(ahead.values())[len(ahead) // 2]
            yield Alert(
                id=f"{AlertKind.CELL_CLOCK}:{self.picture.view.viewer}",
                kind=AlertKind.CELL_CLOCK,
                severity=AlertSeverity.WARNING,
                what=f"this host's clock is {_off(-middle)} that of most cells",
                remedy="set it: timedatectl set-ntp true",
            )
            return
        for cell, off in ahead.items():
            yield self._of_cell(
                self.picture.cells[cell],
                AlertKind.CELL_CLOCK,
                AlertSeverity.WARNING,
                f"its clock is {_off(off)} that of this host",
                "have NTP set both: timedatectl set-ntp true",
            )

    # LANs.

    def _unreached_lans(self, found: list[Alert]) -> list[Alert]:
        """Return the LANs that are not reached without any cause so far, one alert for each."""
        picture, left = self.picture, []
        cut = [each.id for each in found if each.kind is AlertKind.LINK_DOWN]
        owners = dict(picture.lans)
        for lan, cells in sorted(picture.unreached.items(), key=lambda each: str(each[0])):
            owner = owners.get(lan)
            unexplained = []
            for cell in cells:
                cause = self._explanation_of_reach(cell, owner, lan, cut)
                if cause:
                    self.consequences[cause] += 1
                else:
                    unexplained.append(cell)
            if unexplained:
                left.append(self._unreached(lan, owner, tuple(unexplained)))
        for number, each in enumerate(found):
            if each.kind is AlertKind.LINK_DOWN and self.consequences[each.id]:
                found[number] = replace(each, severity=AlertSeverity.CRITICAL)
        return left

    def _explanation_of_reach(
        self, cell: int, owner: int | None, lan: Network, cut: list[str]
    ) -> str:
        for each in (owner, cell):
            if each is not None and each in self.explained:
                return self.explained[each]
        if owner is None or owner not in self.picture.cells:
            return ""
        if cut and not self.picture.is_joined(cell, owner):
            return cut[0]
        if self.picture.lan_health(lan, owner) is LanHealth.DETACHED:
            return f"{AlertKind.LAN_DETACHED}:{owner}"
        return ""

    def _unreached(self, lan: Network, owner: int | None, cells: tuple[int, ...]) -> Alert:
        picture = self.picture
        whose = "" if owner is None else f" ({picture.name(owner)})"
        others = sum(each.alive for each in picture.view.cells) - 1
        by = (
            "by no other cell"
            if len(cells) >= max(others, 1) and len(cells) > 1
            else f"by {', '.join(first(map(picture.name, cells)))}"
        )
        verb = "is reached" if by == "by no other cell" else "is not reached"
        return Alert(
            id=f"{AlertKind.LAN_UNREACHED}:{lan}",
            kind=AlertKind.LAN_UNREACHED,
            severity=AlertSeverity.CRITICAL,
            what=f"{lan}{whose} {verb} {by}",
            remedy=f"there: uno explain {picture.name(cells[0])} {lan}",
            cells=((owner, *cells) if owner is not None else cells),
            lans=(str(lan),),
        )

    # The whole UVN.

    def _of_the_whole(self) -> Iterator[Alert]:
        view = self.picture.view
        if view.undone is not None:
            yield _whole(
                AlertKind.GENERATION_UNDONE,
                AlertSeverity.WARNING,
                f"generation {view.undone} is not in force: {view.reason}",
                "at the registry: change what is wrong, or uno rollback; then uno sync",
            )
        if view.rollout:
            yield _whole(AlertKind.ROLLOUT, AlertSeverity.INFO, f"roll-out: {view.rollout}")
        if view.waiting:
            count = f"{view.waiting} change{'' if view.waiting == 1 else 's'}"
            yield _whole(
                AlertKind.NOT_RELEASED,
                AlertSeverity.INFO,
                f"{count} of the registry not released",
                "at the registry: uno sync",
            )
        if not view.registry and view.viewer != REGISTRY:
            yield _whole(
                AlertKind.REGISTRY_LOST,
                AlertSeverity.INFO,
                "the registry is not in contact: the network works on, changes wait",
                "start its agent where the registry is: uno agent",
            )


def clock_ahead(picture: Picture, cell: CellView) -> int | None:
    """Return by how many seconds a cell's clock is ahead of the viewer's, None if not known."""
    clock = cell.status.clock if cell.status is not None and cell.alive else None
    if clock is None or picture.now is None:
        return None
    return clock + int(cell.status_age or 0) - picture.now


def headline(found: Iterable[Alert], *, cells: int) -> str:
    """Return one sentence for all alerts of a UVN with so many cells."""
    worst = next((each for each in found if each.severity is not AlertSeverity.INFO), None)
    if worst is not None:
        return worst.what
    return "all is well: every LAN is reached" if cells else "there is no cell yet"


def _silence(cell: CellView, last: str) -> str:
    return f"{cell.name}: no contact{last}"


def _off(seconds: int) -> str:
    return f"{age(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'}"


def _whole(kind: AlertKind, severity: AlertSeverity, what: str, remedy: str = "") -> Alert:
    return Alert(id=kind.value, kind=kind, severity=severity, what=what, remedy=remedy)


def _without(fault: str, missing: Iterable[Network]) -> str:
    """Return a fault without its parts that name a LAN which is missing, and so has an alert."""
    names = tuple(map(str, missing))
    parts = [part for part in fault.split("; ") if not any(name in part for name in names)]
    return "; ".join(parts)
