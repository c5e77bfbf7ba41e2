"""How many links a backbone has at least and a cell at most, before it is planned."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from uno.model.uvn import Strategy

if TYPE_CHECKING:
    from uno.model.uvn import Uvn


def fewest_links(uvn: Uvn) -> int:
    """Return a number of links that any plan for `uvn` has."""
    deployment = uvn.settings.deployment
    public = sum(cell.is_public for cell in uvn.active_cells)
    private = len(uvn.active_cells) - public
    uplinks = private * max(0, min(deployment.private_uplinks, public))
    ring = public if public > 2 else max(0, public - 1)
    match deployment.strategy:
        case Strategy.CROSSED:
            return ring + (public // 2 if public > 3 else 0) + uplinks
        case Strategy.CIRCULAR:
            return ring + uplinks
        case Strategy.FULL_MESH:
            return public * (public - 1) // 2 + public * private
        case Strategy.STATIC:
            return len(static_links(uvn))
        case Strategy.RANDOM:
            return max(0, public + private - 1)


def most_links(uvn: Uvn) -> dict[str, int]:
    """Return numbers of links that cells never have more of, by name."""
    if uvn.settings.deployment.strategy is Strategy.STATIC:
        named = Counter(name for link in static_links(uvn) for name in link)
        return {cell.name: named[cell.name] for cell in uvn.cells}
    return dict.fromkeys((cell.name for cell in uvn.cells), len(uvn.active_cells) - 1)


def static_links(uvn: Uvn) -> frozenset[frozenset[str]]:
    """Return the links that the static strategy's arguments name, as pairs of cell names.

    A link that only one side names counts. What is malformed, or not of two active cells, does not.
    """
    active = {cell.name for cell in uvn.active_cells}
    return frozenset(
        frozenset((name, peer))
        for name, peers in uvn.settings.deployment.strategy_args.items()
        if isinstance(peers, list | tuple)
        for peer in peers
        if isinstance(peer, str) and peer != name and {name, peer} <= active
    )
