"""The status of the whole UVN as one node observes it, in at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from uno.diagnosis.cell_faults import age, faults, first
from uno.model import package_formats
from uno.model.status import CellStatus, CellView, LinkState, UvnView

_GOOD, _DOUBTFUL, _BAD = "green", "yellow", "red"
_UP = "up"


def renderable(view: UvnView, *, waiting: Iterable[str] = ()) -> RenderableType:
    """Return the status page: the UVN, its cells, their faults, its links.

    `waiting` are lines on changes that are not released, which come first.
    """
    names = {cell.id: cell.name for cell in view.cells}
    notes = [Text(line, style=_DOUBTFUL) for line in waiting]
    parts: list[RenderableType] = [*_headline(view, names), *notes, Text(), _cells(view)]
    faulty = (_faults(view), _undone(view))
    for section in (*faulty, _linked(view, names), _online(view), _unproved(view), _muted(view)):
        lines: tuple[RenderableType, ...] = tuple(section)
        parts += [Text(), *lines] if lines else []
    return Group(*parts)


class _Link(Struct, frozen=True, kw_only=True):
    """A link, merged from the states that its reachable ends report."""

    cells: tuple[int, int]
    ends: tuple[LinkState, ...]

    @property
    def state(self) -> str:
        """`up`, or the reason why it is not."""
        lacking = [end for end in self.ends if not end.works]
        if not lacking:
            return _UP
        end = lacking[0]
        return "BFD down" if end.bgp == "Established" else f"BGP {end.bgp or 'off'}"


def _headline(view: UvnView, names: dict[int, str]) -> Iterator[Text]:
    viewer = names.get(view.viewer, "the registry" if view.viewer == 0 else f"cell {view.viewer}")
    states = (
        ("consistent", "not consistent", view.consistent),
        ("routed", "not routed", view.routed),
    )
    line = Text(f"{view.uvn}, seen from {viewer}: generation {view.generation}, ")
    for at, (good, bad, is_good) in enumerate(states):
        line.append(", " if at else "")
        line.append(good if is_good else bad, style=_GOOD if is_good else _BAD)
    if view.obstructed:
        line.append(", ").append("obstructed", style=_BAD)
    yield line
    if view.viewer and not view.registry:
        yield Text("no contact with the registry", style=_DOUBTFUL)
    if view.viewer and view.waiting:
        count = f"{view.waiting} change{'' if view.waiting == 1 else 's'}"
        yield Text(f"registry: {count} not released", style=_DOUBTFUL)
    for each in _formats(view, names) if view.registry else ():
        yield Text(f"registry: {each}", style=_DOUBTFUL)
    if view.rollout:
        yield Text(f"registry: {view.rollout}", style="bold")
    if view.undone is not None:
        why = f": {view.reason}" if view.reason else ""
        yield Text(f"generation {view.undone} was rolled back{why}", style=_BAD)


def _formats(view: UvnView, names: dict[int, str]) -> Iterator[str]:
    newest = view.package_format
    advertised = {it.id: it.status.package_format for it in view.cells if it.status is not None}
    return package_formats.lines(
        package_formats.agreed(advertised, newest=newest), names, newest=newest
    )


def _cells(view: UvnView) -> Table:
    table = _table()
    table.add_column("CELL", overflow="fold")
    table.add_column("GEN", justify="right")
    table.add_column("LANS", no_wrap=True)
    table.add_column("LINKS", justify="right")
    table.add_column("SEEN", no_wrap=True, justify="right")
    table.add_column("STATE", no_wrap=True)
    for cell in view.cells:
        status = cell.status
        table.add_row(
            Text(cell.name, style="" if cell.alive else "dim"),
            _generation(cell, view),
            Text("\n".join(first(str(lan.network) for lan in status.lans)) if status else ""),
            _up_of_all(status) if status else "",
            _last_seen(cell, view),
            _state(cell),
        )
    return table


def _generation(cell: CellView, view: UvnView) -> Text:
    if cell.status is None:
        return Text("–")
    if cell.consistent:
        # Its package may be of an earlier generation: later ones have not changed it.
        return Text(str(max(view.generation, cell.status.generation)))
    return Text(str(cell.status.generation), style=_DOUBTFUL)


def _last_seen(cell: CellView, view: UvnView) -> str:
    if cell.id == view.viewer or cell.age is None:
        return ""
    return age(cell.age)


def _state(cell: CellView) -> Text:
    if cell.status is None or not cell.alive:
        return Text("no contact", style=_BAD)
    if cell.unproven:
        return Text("not believed", style=_BAD)
    if not cell.consistent and cell.package is not None:
        return Text("behind" if cell.status.generation < cell.package else "ahead", style=_DOUBTFUL)
    return Text("degraded", style=_DOUBTFUL) if faults(cell) else Text("ok", style=_GOOD)


def _faults(view: UvnView) -> Iterator[Text]:
    for cell in view.cells:
        for fault in faults(cell):
            yield Text(f"{cell.name}: {fault}", style=_DOUBTFUL if cell.alive else _BAD)


def _undone(view: UvnView) -> Iterator[Text]:
    """Yield what cells have rolled back from, but for what the headline has."""
    for cell in view.cells:
        undone = cell.status.undone if cell.status else None
        if undone is not None and undone.generation != view.undone:
            yield Text(f"{cell.name}: {undone}, {age(undone.age)} ago", style=_DOUBTFUL)


def _linked(view: UvnView, names: dict[int, str]) -> Iterator[Table]:
    if links := tuple(_links(view, names)):
        yield _link_table(links, names)


def _online(view: UvnView) -> Iterator[Text]:
    for cell in view.cells:
        online = sum(it.is_online for it in cell.status.particles) if cell.status else 0
        if online and cell.alive:
            yield Text(f"{online} particle{'' if online == 1 else 's'} online at {cell.name}")


def _unproved(view: UvnView) -> Iterator[Text]:
    for cell in view.cells:
        if cell.alive and cell.status is not None and cell.status.unproved:
            yield Text(f"{cell.name}: forwarding is not proved: {cell.status.unproved}")


def _muted(view: UvnView) -> Iterator[Text]:
    for cell in view.cells:
        if cell.muted_for > 0:
            yield Text(f"{cell.name}: nobody is notified of it for {age(cell.muted_for)} more")


def _up_of_all(status: CellStatus) -> str:
    return f"{sum(link.works for link in status.links)}/{len(status.links)}"


def _links(view: UvnView, names: dict[int, str]) -> Iterator[_Link]:
    """Yield the links between cells of the UVN."""
    ends: dict[tuple[int, int], list[LinkState]] = {}
    for cell in view.cells:
        if cell.status is None or not cell.alive:
            continue
        for link in cell.status.links:
            if link.cell not in names:
                continue
            pair = min(cell.id, link.cell), max(cell.id, link.cell)
            ends.setdefault(pair, []).append(link)
    for pair in sorted(ends):
        yield _Link(cells=pair, ends=tuple(ends[pair]))


def _link_table(links: Iterable[_Link], names: dict[int, str]) -> Table:
    table = _table()
    table.add_column("LINK", overflow="fold", ratio=1)
    table.add_column("STATE", no_wrap=True)
    for heading in ("HANDSHAKE", "RTT", "LOSS", "MTU"):
        table.add_column(heading, no_wrap=True, justify="right")
    for link in links:
        one, other = (names[each] for each in link.cells)
        table.add_row(
            Text(f"{one} – {other}"),
            Text(link.state, style=_GOOD if link.state == _UP else _BAD),
            *_measures(link.ends),
        )
    return table


def _measures(ends: tuple[LinkState, ...]) -> Iterator[Text]:
    """Yield the newest handshake, the round trip, the worse loss, the smaller packet."""
    handshakes = [end.handshake for end in ends if end.handshake is not None]
    yield Text(age(min(handshakes))) if handshakes else Text("never", style=_BAD)
    trips = [end.rtt for end in ends if end.rtt is not None]
    yield Text(f"{min(trips):.1f} ms" if trips else "–")
    losses = [end.loss for end in ends if end.loss is not None]
    worst = max(losses, default=0.0)
    yield Text(f"{worst:.0%}" if losses else "–", style=_DOUBTFUL if worst else "")
    sizes = [end.mtu for end in ends if end.mtu is not None]
    yield Text(str(min(sizes)) if sizes else "–")


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
