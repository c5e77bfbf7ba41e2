"""What has happened between two looks at a UVN, as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from uno.model.messages import Phase
from uno.model.status import CellView, UvnView

_DID = {
    Phase.STAGED: "has generation {} staged",
    Phase.REFUSED: "refused generation {}",
    Phase.APPLIED: "runs generation {}, and looks whom it reaches",
    Phase.CONFIRMED: "confirmed generation {}",
    Phase.FAILED: "could not change over to generation {}",
    Phase.REVERTED: "went back from generation {}",
}


def events(before: UvnView, after: UvnView) -> Iterator[str]:
    """Yield a line for each thing that happened between two views of the same UVN."""
    known = {cell.id: cell for cell in before.cells}
    for cell in after.cells:
        was = known.get(cell.id)
        if was is None or cell.alive != was.alive:
            yield f"{cell.name}  {_heard(cell)}"
        if cell.ack is not None and (was is None or cell.ack != was.ack):
            yield from _told(cell, is_new=was is not None and was.alive)
        if was is not None and was.status and cell.alive and _is_routed(cell) != _is_routed(was):
            yield f"{cell.name}  {'reaches every LAN' if _is_routed(cell) else _unreached(cell)}"


def verdict(view: UvnView) -> str:
    """Say why the newest generation is not in force; nothing if it is, or is on its way."""
    if view.undone is None:
        return ""
    return f"generation {view.undone} is not in force: {view.reason}"


def older(ahead: str, newest: int) -> str:
    """Say what follows where cells run what this registry never made."""
    return (
        f"this registry is older than the network: {ahead}, and the newest here is {newest}."
        " Work with the newer copy of it; if that is lost, back this one up, restore it with"
        " --generation N, above all of these, into an empty directory, and there: uno redeploy,"
        " uno sync"
    )


def _told(cell: CellView, *, is_new: bool) -> Iterator[str]:
    """Tell what a cell says of its package; of one that is heard again only what is unusual."""
    ack = cell.ack
    if ack is not None and ack.phase in _DID and (is_new or ack.phase is not Phase.CONFIRMED):
        because = f": {ack.reason}" if ack.reason else ""
        yield f"{cell.name}  {_DID[ack.phase].format(ack.generation)}{because}"


def _heard(cell: CellView) -> str:
    if not cell.alive:
        return "is not heard any more"
    return f"is heard, and runs generation {cell.status.generation}" if cell.status else "is heard"


def _is_routed(cell: CellView) -> bool:
    return cell.status is not None and cell.status.routed


def _unreached(cell: CellView) -> str:
    status = cell.status
    if status is None:
        return "says nothing of its routes"
    missing = [str(lan.network) for lan in status.lans if lan.interface is None]
    if missing:
        return f"is not attached to its own {', '.join(missing)}"
    lost = [str(network) for network in status.unreachable]
    shown = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
    return f"does not reach {shown}"
