"""What a reader of the page sees: the documents of the API, from a picture of the network. Pure.

The owner of the UVN sees everything. The owner of a cell sees everything of that cell and of its
links, and of other cells the name, the LANs and the state. The owner of a particle sees the
particle, and names and states of the cells that it can connect to. `reports` has single cells and
links, `particle_rows` particles, `planned_facts` the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from uno.model.status import ALL_PATHS, CellStatus, CellView, UvnView
from uno.web.causes import alerts, headline
from uno.web.documents import (
    NO_ANSWER,
    NOT_KNOWN,
    REACHED,
    Alert,
    AlertSeverity,
    CellHealth,
    CellSummary,
    EventList,
    EventRow,
    LanHealth,
    LanSummary,
    LinkHealth,
    LinkSummary,
    Matrix,
    RiskLine,
    Summary,
    Totals,
    UndoneGeneration,
)
from uno.web.particle_rows import particle_list
from uno.web.picture import LinkRates, Picture
from uno.web.planned_facts import risk_lines
from uno.web.readers import Reader
from uno.web.summaries import lan_summaries, link_summary, visible_cells

MAX_EVENTS = 500
"""The most events of one answer."""

_Document = TypeVar("_Document", bound=Struct)

# Fields that grow, or change with each measurement.
_MEASURED = frozenset({"age", "uptime", "handshake", "rtt", "loss", "receive_rate", "send_rate"})


def summary(picture: Picture, reader: Reader) -> Summary:
    """Return the whole UVN in short, as far as `reader` may see it."""
    view, directory = picture.view, picture.directory
    cells = tuple(visible_cells(picture, reader))
    shown = {cell.id for cell in cells}
    is_limited = not reader.is_owner
    found = tuple(_visible(each, reader) for each in alerts(picture) if _concerns(each, reader))
    links = tuple(
        link_summary(picture, pair, reader)
        for pair in picture.links
        if reader.is_owner or (reader.cells and shown >= set(pair))
    )
    lans = () if is_limited and not reader.cells else tuple(lan_summaries(picture, reader))
    return Summary(
        uvn=view.uvn,
        viewer=view.viewer,
        generation=view.generation,
        consistent=view.consistent,
        routed=view.routed,
        registry=view.registry,
        headline=headline(found, cells=len(cells)) if not is_limited else _limited_headline(found),
        severity=found[0].severity if found else None,
        alerts=found,
        totals=_totals(picture, cells, links, lans, reader),
        rollout=view.rollout if reader.is_owner else "",
        undone=_undone(view) if reader.is_owner else None,
        waiting=view.waiting if reader.is_owner else 0,
        directory=directory.generation if directory else None,
        limited=is_limited,
        cells=cells,
        links=links,
        lans=lans,
        risks=tuple(risk for risk in risk_lines(picture) if _may_see_risk(risk, reader)),
    )


def ageless(document: _Document) -> _Document:
    """Return a document without ages and measurements: equal ones show nothing new to act on."""
    changed: dict[str, Any] = {}
    for name, value in asdict(document).items():
        if name in _MEASURED:
            changed[name] = None
        elif isinstance(value, Struct):
            changed[name] = ageless(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Struct):
            changed[name] = tuple(map(ageless, value))
    return replace(document, **changed)


def matrix(picture: Picture, reader: Reader) -> Matrix:
    """Return the reachability between cells. The owner of cells has their rows alone."""
    cells = [cell for cell in picture.view.cells if reader.is_owner or reader.cells]
    column = {cell.id: number for number, cell in enumerate(cells)}
    rtt, loss, ages, unreached = [], [], [], []
    for cell in cells:
        status = picture.alive(cell.id) if reader.owns(cell.id) else None
        times, losses = [NOT_KNOWN] * len(cells), [NOT_KNOWN] * len(cells)
        for number, (time, lost) in _pairs(picture, cell, status, column):
            times[number], losses[number] = time, lost
        rtt.append(tuple(times))
        loss.append(tuple(losses))
        ages.append(cell.status_age if status is not None else None)
        unreached.append(tuple(map(str, status.unreachable)) if status is not None else ())
    return Matrix(
        cells=tuple(cell.id for cell in cells),
        names=tuple(cell.name for cell in cells),
        rtt=tuple(rtt),
        loss=tuple(loss),
        ages=tuple(ages),
        unreached=tuple(unreached),
    )


def _pairs(
    picture: Picture, cell: CellView, status: CellStatus | None, column: dict[int, int]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield what is known of the columns in a cell's row: time and loss, the best known last.

    In a large UVN a cell advertises what it probes only of the cells that lose packets.
    """
    if status is None:
        return
    is_probed = len(picture.members) > ALL_PATHS + 1 and cell.is_fresh
    lost = frozenset(status.unreachable)
    for other, number in column.items():
        if picture.alive(other) is not None:
            if is_probed:
                yield number, (REACHED, 0)
            elif not lost.issuperset(picture.members[other].lans):
                yield number, (REACHED, NOT_KNOWN)
    for link in status.links:
        if link.cell in column and link.works and link.rtt is not None:
            yield column[link.cell], (round(link.rtt * 10), _percent(link.loss))
    for path in status.paths:
        if path.cell in column:
            time = NO_ANSWER if path.rtt is None else round(path.rtt * 10)
            yield column[path.cell], (time, _percent(path.loss))
    yield column[cell.id], (0, 0)


def _percent(loss: float | None) -> int:
    return NOT_KNOWN if loss is None else round(loss * 100)


def event_list(
    rows: Iterable[EventRow],
    reader: Reader,
    *,
    after: int = 0,
    before: int | None = None,
    limit: int = MAX_EVENTS,
) -> EventList:
    """Return the events above `after` and below `before`, the newest first, at most `limit`.

    `rows` are all, the oldest first. The owner of cells sees those that are about these.
    """
    known = [row for row in rows if reader.is_owner or not reader.cells.isdisjoint(row.cells)]
    asked = [row for row in known if row.number > after and (before is None or row.number < before)]
    count = max(1, min(limit, MAX_EVENTS))
    return EventList(
        newest=known[-1].number if known else 0,
        events=tuple(asked[: -count - 1 : -1]),
        more=len(asked) > count,
    )


def _concerns(alert: Alert, reader: Reader) -> bool:
    return reader.is_owner or not reader.cells.isdisjoint(alert.cells)


def _visible(alert: Alert, reader: Reader) -> Alert:
    """Return an alert; to the owner of one cell only with what is that cell's."""
    if reader.is_owner:
        return alert
    return replace(alert, cells=tuple(cell for cell in alert.cells if cell in reader.cells))


def _limited_headline(found: tuple[Alert, ...]) -> str:
    worst = next((each for each in found if each.severity is not AlertSeverity.INFO), None)
    return worst.what if worst else "nothing of yours is at fault"


def _may_see_risk(risk: RiskLine, reader: Reader) -> bool:
    return reader.is_owner or not reader.cells.isdisjoint((*risk.cells, *risk.cut_off))


def _undone(view: UvnView) -> UndoneGeneration | None:
    if view.undone is None:
        return None
    return UndoneGeneration(generation=view.undone, reason=view.reason)


def _totals(
    picture: Picture,
    cells: tuple[CellSummary, ...],
    links: tuple[LinkSummary, ...],
    lans: tuple[LanSummary, ...],
    reader: Reader,
) -> Totals:
    particles = particle_list(picture, reader).particles
    found = Totals(
        cells=len(cells),
        cells_ok=sum(cell.health is CellHealth.OK for cell in cells),
        links=len(links),
        links_up=sum(link.health in (LinkHealth.UP, LinkHealth.DEGRADED) for link in links),
        lans=len(lans),
        lans_reached=sum(lan.health is LanHealth.REACHED for lan in lans),
        particles=sum(not each.banned for each in particles),
        particles_online=sum(bool(each.online) for each in particles),
    )
    own = picture.alive(picture.view.viewer)
    if own is None or not reader.owns(picture.view.viewer):
        return found
    mine = [link for link in links if picture.view.viewer in (link.a, link.b)]
    return replace(
        found,
        received=sum(link.received for link in own.links),
        sent=sum(link.sent for link in own.links),
        receive_rate=_sum([_own_rates(picture, link)[0] for link in mine]),
        send_rate=_sum([_own_rates(picture, link)[1] for link in mine]),
    )


def _own_rates(picture: Picture, link: LinkSummary) -> tuple[float | None, float | None]:
    """Return the rates of a link of the viewer's at the viewer's end."""
    rates = picture.rates.get(link.name, LinkRates())
    is_first = link.a == picture.view.viewer
    return (rates.receive, rates.send) if is_first else (rates.send, rates.receive)


def _sum(rates: list[float | None]) -> float | None:
    known = [each for each in rates if each is not None]
    return sum(known) if known else None
