"""From the definition and the parent plan to the pairs of cells that are linked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec import Struct

from uno.diagnostics import Problem, Rejected
from uno.model.plan import Plan
from uno.model.syntax import same_host
from uno.model.uvn import Cell, Strategy, Uvn
from uno.planning.topology import full_mesh, random_graph, ring, static_links, uplinks
from uno.planning.topology.graph import Pair


class LinkSelection(Struct, frozen=True, kw_only=True):
    """The linked pairs, and the ring of public cells that the next plan starts from."""

    ring: tuple[int, ...]
    pairs: frozenset[Pair]


def select_links(uvn: Uvn, parent: Plan | None) -> LinkSelection:
    """Choose the links of `uvn` by its strategy.

    The ring is kept under every strategy, so that a later change to crossed or circular uses it.
    Raises `Rejected` if there are cells but no public one.
    """
    cells = uvn.active_cells
    public = frozenset(cell.id for cell in cells if cell.is_public)
    private = frozenset(cell.id for cell in cells if not cell.is_public)
    if private and not public:
        raise Rejected(_no_public_cell(cells))
    across = uvn.settings.deployment.strategy is not Strategy.CIRCULAR
    order = ring.evolve(parent.ring if parent else (), public, across=across)
    return LinkSelection(ring=order, pairs=_pairs(uvn, order, private, parent))


def _pairs(
    uvn: Uvn, order: ring.Ring, private: frozenset[int], parent: Plan | None
) -> frozenset[Pair]:
    deployment = uvn.settings.deployment
    match deployment.strategy:
        case Strategy.CROSSED | Strategy.CIRCULAR as strategy:
            backbone = ring.pairs(order, across=strategy is Strategy.CROSSED)
            return backbone | uplinks.uplinks(
                private,
                order,
                each=deployment.private_uplinks,
                before=_neighbours(parent),
                sites={cell.id: same_host(cell.address) for cell in uvn.cells if cell.address},
            )
        case Strategy.FULL_MESH:
            return full_mesh.pairs(order, private)
        case Strategy.STATIC:
            return static_links.pairs(uvn.active_cells, deployment.strategy_args)
        case Strategy.RANDOM:
            return random_graph.pairs(order, private, seed=deployment.seed)
        case _:
            assert_never(deployment.strategy)


def _neighbours(parent: Plan | None) -> dict[int, set[int]]:
    neighbours: dict[int, set[int]] = {}
    for link in parent.links if parent else ():
        a, b = link.cells
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    return neighbours


def _no_public_cell(cells: Iterable[Cell]) -> Problem:
    names = ", ".join(cell.name for cell in cells)
    return Problem(
        what=f"no cell has a public address, so none can be reached by another ({names})",
        hint="give at least one cell an `address`",
    )
