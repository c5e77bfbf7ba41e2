"""What has happened between two pictures of a network, for people. Pure.

As alerts do (`causes`), events name what has happened, and not what follows from it: of a cell that
has fallen silent there is one event, and none of its links and LANs.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from uno.diagnosis.cell_faults import first
from uno.model.messages import REGISTRY
from uno.model.status import CellView, ParticleState, UvnView
from uno.web.causes import alerts
from uno.web.documents import Alert, AlertKind, AlertSeverity, LanHealth, LinkHealth
from uno.web.picture import Picture, link_name


class EventKind(StrEnum):
    """What kind of thing has happened. Of two that are opposites the second ends the first."""

    CELL_LOST = "cell-lost"
    CELL_FOUND = "cell-found"
    LINK_DOWN = "link-down"
    LINK_UP = "link-up"
    LAN_LOST = "lan-lost"
    LAN_REACHED = "lan-reached"
    PARTICLE_OFFLINE = "particle-offline"
    PARTICLE_ONLINE = "particle-online"
    FAULT_BEGUN = "fault-begun"
    FAULT_ENDED = "fault-ended"
    REGISTRY_LOST = "registry-lost"
    REGISTRY_FOUND = "registry-found"
    GENERATION = "generation"
    UNDONE = "undone"
    CELL_SWITCHED = "cell-switched"
    CELL_STAGED = "cell-staged"
    CELL_ADDED = "cell-added"
    CELL_REMOVED = "cell-removed"
    AGENT_STARTED = "agent-started"


class NetworkEvent(Struct, frozen=True, kw_only=True):
    """Something that has happened, as a sentence, and the cells and links that it is about."""

    kind: EventKind
    severity: AlertSeverity
    text: str
    cells: tuple[int, ...] = ()
    links: tuple[str, ...] = ()


_LOST = (LanHealth.DETACHED, LanHealth.UNREACHED, LanHealth.PARTLY)
_LAN_WORDS = {
    LanHealth.DETACHED: "has lost its cell's interface",
    LanHealth.UNREACHED: "is reached by no other cell any more",
    LanHealth.PARTLY: "is not reached by some cells any more",
}
# Alerts whose beginning and end are events of no other kind.
_FAULTS = frozenset(
    {
        AlertKind.CELL_FAULT,
        AlertKind.CELL_UNPROVEN,
        AlertKind.CELL_CLOCK,
        AlertKind.LINK_DEGRADED,
        AlertKind.ISOLATED,
    }
)


def events(before: Picture, after: Picture) -> tuple[NetworkEvent, ...]:
    """Return what has happened since `before`, in the order of cells, links, LANs, particles."""
    if after.view.viewer == REGISTRY and before.view.registry != after.view.registry:
        # What cells do meanwhile is not observed.
        return (_of_agent(after.view),)
    return (
        *_whole(before, after),
        *_cells(before, after),
        *_links(before, after),
        *_lans(before, after),
        *_particles(before, after),
        *_faults(before, after),
    )


def _event(
    kind: EventKind,
    severity: AlertSeverity,
    text: str,
    *,
    cells: tuple[int, ...] = (),
    links: tuple[str, ...] = (),
) -> NetworkEvent:
    return NetworkEvent(kind=kind, severity=severity, text=text, cells=cells, links=links)


def _whole(before: Picture, after: Picture) -> Iterator[NetworkEvent]:
    was, now = before.view, after.view
    if was.registry != now.registry and now.viewer != REGISTRY:
        if now.registry:
            yield _event(EventKind.REGISTRY_FOUND, AlertSeverity.INFO, "the registry is in contact")
        else:
            yield _event(
                EventKind.REGISTRY_LOST, AlertSeverity.INFO, "the registry is not in contact"
            )
    if was.generation != now.generation:
        text = f"generation {now.generation} is in force, after {was.generation}"
        yield _event(EventKind.GENERATION, AlertSeverity.INFO, text)
    if now.undone is not None and now.undone != was.undone:
        text = f"generation {now.undone} was undone: {now.reason}"
        yield _event(EventKind.UNDONE, AlertSeverity.WARNING, text)


def _of_agent(now: UvnView) -> NetworkEvent:
    """Return that the registry's agent runs, or has ended."""
    if now.registry:
        return _event(EventKind.REGISTRY_FOUND, AlertSeverity.INFO, "the registry's agent runs")
    text = "the registry's agent does not run"
    return _event(EventKind.REGISTRY_LOST, AlertSeverity.WARNING, text)


def _cells(before: Picture, after: Picture) -> Iterator[NetworkEvent]:
    for id_, cell in after.cells.items():
        was = before.cells.get(id_)
        if was is None:
            text = f"{cell.name} is a new cell"
            yield _event(EventKind.CELL_ADDED, AlertSeverity.INFO, text, cells=(id_,))
        else:
            yield from _cell(was, cell)
    for id_, cell in before.cells.items():
        if id_ not in after.cells:
            text = f"{cell.name} is no cell any more"
            yield _event(EventKind.CELL_REMOVED, AlertSeverity.INFO, text, cells=(id_,))


def _cell(was: CellView, cell: CellView) -> Iterator[NetworkEvent]:
    at, old, new = (cell.id,), was.status, cell.status
    if was.alive and not cell.alive:
        text = f"{cell.name}: contact lost"
        yield _event(EventKind.CELL_LOST, AlertSeverity.CRITICAL, text, cells=at)
    elif cell.alive and not was.alive:
        text = f"{cell.name} is in contact" + (" again" if old is not None else "")
        yield _event(EventKind.CELL_FOUND, AlertSeverity.INFO, text, cells=at)
    if old is None or new is None or old == new:
        return
    if new.generation != old.generation:
        text = f"{cell.name} runs generation {new.generation}, after {old.generation}"
        yield _event(EventKind.CELL_SWITCHED, AlertSeverity.INFO, text, cells=at)
    if new.staged is not None and new.staged != old.staged:
        text = f"{cell.name} has staged generation {new.staged}"
        yield _event(EventKind.CELL_STAGED, AlertSeverity.INFO, text, cells=at)
    if new.undone is not None and str(new.undone) != str(old.undone or ""):
        yield _event(EventKind.UNDONE, AlertSeverity.WARNING, f"{cell.name} {new.undone}", cells=at)
    if new.uptime is not None and old.uptime is not None and new.uptime < old.uptime:
        text = f"{cell.name}: the agent has started again"
        yield _event(EventKind.AGENT_STARTED, AlertSeverity.INFO, text, cells=at)


def _links(before: Picture, after: Picture) -> Iterator[NetworkEvent]:
    for pair in after.links:
        if not _in_contact(pair, before, after) or pair not in before.link_health:
            continue
        was, (now, why) = before.link_health[pair][0], after.link_health[pair]
        text = f"the link {after.name(pair[0])} – {after.name(pair[1])}"
        names = (link_name(pair),)
        is_down, was_down = now is LinkHealth.DOWN, was is LinkHealth.DOWN
        if is_down and not was_down:
            yield _event(
                EventKind.LINK_DOWN,
                AlertSeverity.WARNING,
                f"{text} is down: {why}",
                cells=pair,
                links=names,
            )
        elif was_down and not is_down and now is not LinkHealth.UNKNOWN:
            yield _event(
                EventKind.LINK_UP, AlertSeverity.INFO, f"{text} is up", cells=pair, links=names
            )


def _lans(before: Picture, after: Picture) -> Iterator[NetworkEvent]:
    known = dict(before.lans)
    for lan, cell in after.lans:
        if known.get(lan) != cell or not _in_contact((cell,), before, after):
            continue
        was, now = before.lan_health(lan, cell), after.lan_health(lan, cell)
        if was is now:
            continue
        name = f"{lan} ({after.name(cell)})"
        if now in _LOST:
            text = f"{name} {_LAN_WORDS[now]}"
            if now is LanHealth.PARTLY:
                by = first(map(after.name, after.unreached[lan]))
                text = f"{name} is not reached by {', '.join(by)} any more"
            yield _event(EventKind.LAN_LOST, AlertSeverity.CRITICAL, text, cells=(cell,))
        elif was in _LOST and now is LanHealth.REACHED:
            text = f"{name} is reached by all cells"
            yield _event(EventKind.LAN_REACHED, AlertSeverity.INFO, text, cells=(cell,))


def _particles(before: Picture, after: Picture) -> Iterator[NetworkEvent]:
    was, now = _online(before), _online(after)
    for id_ in sorted(was.keys() | now.keys()):
        at, old = now.get(id_), was.get(id_)
        name = _particle_name(after, id_)
        if at is not None and at != old:
            text = f"{name} is online at {after.name(at)}"
            yield _event(EventKind.PARTICLE_ONLINE, AlertSeverity.INFO, text, cells=(at,))
        elif at is None and old is not None and old in after.cells and after.cells[old].alive:
            text = f"{name} is offline"
            yield _event(EventKind.PARTICLE_OFFLINE, AlertSeverity.INFO, text, cells=(old,))


def _faults(before: Picture, after: Picture) -> Iterator[NetworkEvent]:
    was = {each.what: each for each in alerts(before) if each.kind in _FAULTS}
    now = {each.what: each for each in alerts(after) if each.kind in _FAULTS}
    for what, alert in now.items():
        if what not in was:
            yield _of_alert(EventKind.FAULT_BEGUN, alert.severity, what, alert)
    for what, alert in was.items():
        # Of a cell that is not in contact nothing is known.
        if what not in now and all(
            cell in after.cells and after.cells[cell].alive for cell in alert.cells
        ):
            yield _of_alert(EventKind.FAULT_ENDED, AlertSeverity.INFO, f"no more: {what}", alert)


def _of_alert(kind: EventKind, severity: AlertSeverity, text: str, alert: Alert) -> NetworkEvent:
    return _event(kind, severity, text, cells=alert.cells, links=alert.links)


def _in_contact(cells: tuple[int, ...], *pictures: Picture) -> bool:
    return all(
        cell in picture.cells and picture.cells[cell].alive
        for picture in pictures
        for cell in cells
    )


def _online(picture: Picture) -> dict[int, int]:
    """Return the cell at which each particle is online: that with the newest handshake."""
    found: dict[int, tuple[ParticleState, int]] = {}
    for cell in picture.view.cells:
        for state in cell.status.particles if cell.status and cell.alive else ():
            known = found.get(state.id)
            if state.is_online and (known is None or state.handshake < known[0].handshake):
                found[state.id] = state, cell.id
    return {id_: cell for id_, (_, cell) in found.items()}


def _particle_name(picture: Picture, id_: int) -> str:
    known = picture.directory.particles if picture.directory else ()
    return next((each.name for each in known if each.id == id_), f"particle {id_}")
