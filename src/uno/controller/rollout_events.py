"""What has happened between two views of a UVN, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from uno.diagnosis.cell_faults import unproven_claim
from uno.model.messages import Phase
from uno.model.status import CellView, UvnView

_TEXT = {
    Phase.STAGED: "has staged generation {}",
    Phase.REFUSED: "rejected generation {}",
    Phase.APPLIED: "switched to generation {}; checking its neighbours",
    Phase.CONFIRMED: "confirmed generation {}",
    Phase.FAILED: "could not apply generation {}",
    Phase.REVERTED: "rolled back from generation {}",
}


def events(before: UvnView, after: UvnView) -> Iterator[str]:
    """Yield a line for each difference between two views of the same UVN."""
    known = {cell.id: cell for cell in before.cells}
    for cell in after.cells:
        was = known.get(cell.id)
        if was is None or cell.alive != was.alive:
            yield f"{cell.name}  {_contact(cell)}"
        if cell.unproven and (was is None or not was.unproven):
            yield f"{cell.name}  {unproven_claim(cell)}"
        if cell.ack is not None and (was is None or cell.ack != was.ack):
            yield from _acknowledged(cell, is_new=was is not None and was.alive)
        if was is not None and was.status and cell.alive and _is_routed(cell) != _is_routed(was):
            yield f"{cell.name}  {'reaches every LAN' if _is_routed(cell) else _unreached(cell)}"


def failure(view: UvnView) -> str:
    """Return why the newest generation is not in force; empty unless its rollout failed."""
    if view.undone is None:
        return ""
    return f"generation {view.undone} is not in force: {view.reason}"


def registry_outdated(ahead: str, newest: int) -> str:
    """Return what to do where cells run generations that this registry does not have.

    `ahead` is the text of `rollout.cells_ahead`, `newest` the newest generation of the registry.
    """
    return (
        f"this registry is older than the network: {ahead}, and the newest here is {newest}."
        " Work with the newer copy of it; if that is lost, back this one up, restore it with"
        " --generation N, above all of these, into an empty directory, and there: uno redeploy,"
        " uno sync"
    )


def _acknowledged(cell: CellView, *, is_new: bool) -> Iterator[str]:
    """Yield the text of an ack; a confirmation only if the ack `is_new`."""
    ack = cell.ack
    if ack is not None and ack.phase in _TEXT and (is_new or ack.phase is not Phase.CONFIRMED):
        reason = f": {ack.reason}" if ack.reason else ""
        yield f"{cell.name}  {_TEXT[ack.phase].format(ack.generation)}{reason}"


def _contact(cell: CellView) -> str:
    if not cell.alive:
        return "contact lost"
    return f"in contact; runs generation {cell.status.generation}" if cell.status else "in contact"


def _is_routed(cell: CellView) -> bool:
    return cell.status is not None and cell.status.routed


def _unreached(cell: CellView) -> str:
    status = cell.status
    if status is None:
        return "reports no routes"
    missing = [str(lan.network) for lan in status.lans if lan.interface is None]
    if missing:
        return f"is not attached to its own {', '.join(missing)}"
    lost = [str(network) for network in status.unreachable]
    shown = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
    return f"does not reach {shown}"
