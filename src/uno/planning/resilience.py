"""What any single failure costs: which cells lose each other when one link or one cell is lost."""

from __future__ import annotations

from msgspec import Struct

from uno.model.plan import Plan
from uno.planning.graph import Walk, walk


class Loss(Struct, frozen=True, kw_only=True):
    """One failure, and the cells that it cuts off from the others.

    `failed` is one cell id, or the two of a link; empty for what is apart with nothing failed. Each
    of `cut_off` is a group of cell ids, still linked among themselves; the largest group is left
    out, since that is what the others lose. A failed cell is in no group.
    """

    failed: tuple[int, ...]
    cut_off: tuple[tuple[int, ...], ...]


def losses(plan: Plan) -> tuple[Loss, ...]:
    """Return every single failure after which some cells that are left no longer reach each other.

    Without any, every LAN stays reachable under the loss of any one link or any one other cell.
    Links that fail come before cells, each in order of their ids.
    """
    cells = [cell.member.id for cell in plan.cells]
    backbone = walk(cells, (link.cells for link in plan.links))
    apart = _loss((), [backbone.order[backbone.subtree(root)] for root in backbone.roots])
    links = sorted(_of_link(backbone, upper, lower) for upper, lower in backbone.bridges)
    found = (
        apart,
        *(_loss(failed, pieces) for failed, pieces in links),
        *(_loss((cell,), _pieces_without(backbone, cell)) for cell in sorted(backbone.cut_cells)),
    )
    return tuple(loss for loss in found if loss.cut_off)


_Piece = tuple[int, ...]


def _of_link(backbone: Walk, upper: int, lower: int) -> tuple[tuple[int, int], list[_Piece]]:
    whole = backbone.order[backbone.subtree(backbone.root[upper])]
    below = backbone.order[backbone.subtree(lower)]
    failed = (min(upper, lower), max(upper, lower))
    return failed, [below, _others(whole, {*below})]


def _pieces_without(backbone: Walk, cell: int) -> list[_Piece]:
    whole = backbone.order[backbone.subtree(backbone.root[cell])]
    pieces = [backbone.order[backbone.subtree(top)] for top in backbone.cut_off_without(cell)]
    rest = _others(whole, {cell, *(each for piece in pieces for each in piece)})
    return [*pieces, rest] if rest else pieces


def _others(whole: _Piece, left_out: set[int]) -> _Piece:
    return tuple(cell for cell in whole if cell not in left_out)


def _loss(failed: tuple[int, ...], pieces: list[_Piece]) -> Loss:
    ordered = sorted(
        (tuple(sorted(piece)) for piece in pieces), key=lambda each: (-len(each), each)
    )
    return Loss(failed=failed, cut_off=tuple(sorted(ordered[1:])))
