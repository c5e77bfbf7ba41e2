"""The faults of a cell as a node sees it, as sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from uno.model.messages import Phase
from uno.model.net import Network
from uno.model.status import CellView

# Networks of a cell that are shown.
_MOST = 50
_NEVER_SEEN = "no contact yet; is its package installed, and its agent running?"


def faults(cell: CellView) -> tuple[str, ...]:
    """Return the faults of a cell, as sentences without a full stop."""
    return tuple(_faults(cell, with_unreachable=True))


def own_faults(cell: CellView) -> tuple[str, ...]:
    """Return its faults but for LANs that it does not reach: others may be at fault for that."""
    return tuple(_faults(cell, with_unreachable=False))


def _faults(cell: CellView, *, with_unreachable: bool) -> Iterator[str]:
    status = cell.status
    if status is None or not cell.alive:
        yield _no_contact(cell)
        return
    if cell.unproven:
        yield unproven_claim(cell)
        return
    if cell.package is not None and status.generation != cell.package:
        yield f"runs generation {status.generation}, not {cell.package}{_progress(cell)}"
    missing = [lan.network for lan in status.lans if not lan.interface]
    yield from (f"LAN {each} is missing" for each in first(map(str, missing)))
    if status.unreachable and with_unreachable:
        yield f"does not reach {_shortened(status.unreachable)}"
    yield from status.obstacles
    if status.pending:
        yield f"pending: {', '.join(status.pending)}"
    if status.problem:
        yield status.problem


def age(seconds: float) -> str:
    """Return a time in the largest unit that it has two of, or in seconds: `90 s`, `12 min`."""
    units = ((86400, "d"), (3600, "h"), (60, "min"))
    size, unit = next((each for each in units if seconds >= 2 * each[0]), (1, "s"))
    return f"{int(seconds // size)} {unit}"


def unproven_claim(cell: CellView) -> str:
    """Return the fault of a cell whose generation the registry has not made."""
    generation = cell.status.generation if cell.status else "another one"
    return (
        f"claims to run generation {generation}, without a signature of the registry:"
        " it is left out of changes. Was it taken over?"
    )


def _shortened(networks: Iterable[Network]) -> str:
    return ", ".join(first(map(str, networks)))


def first(texts: Iterable[str]) -> list[str]:
    """Return the first texts, and how many more there are: a cell can report any number."""
    found = list(texts)
    left = len(found) - _MOST
    return [*found[:_MOST], f"and {left} more"] if left > 0 else found


def _no_contact(cell: CellView) -> str:
    return _NEVER_SEEN if cell.age is None else f"no contact for {age(cell.age)}"


def _progress(cell: CellView) -> str:
    """Return the phase of the package that a cell should run, with the reason of a failure."""
    ack = cell.ack
    if ack is None or ack.generation != cell.package:
        return ""
    if ack.phase in {Phase.STAGED, Phase.APPLYING, Phase.APPLIED}:
        return f" yet: {ack.phase}"
    return f": {ack.phase}" + (f", {ack.reason}" if ack.reason else "")
