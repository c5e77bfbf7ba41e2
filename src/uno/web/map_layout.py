"""Where each cell is on the map: the same on every page and after every reload. Pure.

Public cells are on a circle in the order of the ring. The crossed strategy's links make a Möbius
ladder: its ring is drawn twice around, the first half on an outer circle and the second on an inner
one, so that no link crosses another but at one twist. Private cells are beside their first uplink.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from uno.model.uvn import Strategy

SIZE = 1000.0
"""Width and height of the map."""

_OUTER, _INNER, _ONE = 330.0, 215.0, 270.0
# Distance of private cells from their uplink, outwards and inwards.
_BESIDE = 115.0
_EDGE = 485.0
# With so few cells one circle is clearer.
_SMALL = 6

Place = tuple[float, float]


def layout(
    cells: Iterable[int],
    links: Iterable[tuple[int, int]],
    *,
    public: Iterable[int],
    ring: Sequence[int] = (),
    strategy: str = "",
) -> dict[int, Place]:
    """Return the place of each cell, x and y from 0 to `SIZE`.

    `ring` is the circular order of the public cells, where there is one.
    """
    known, neighbors = sorted(cells), _neighbors(links)
    order = _order(known, neighbors, public=set(public), ring=ring)
    angles, radii = _circles(order, is_ladder=strategy == Strategy.CROSSED and bool(ring))
    placed = {cell: (angles[cell], radii[cell]) for cell in order}
    beside: dict[int | None, list[int]] = {}
    for cell in known:
        if cell not in placed:
            uplink = next((it for it in neighbors.get(cell, ()) if it in angles), None)
            beside.setdefault(uplink, []).append(cell)
    step = 2 * math.pi / max(len(set(angles.values())), 3)
    for uplink, private in beside.items():
        if uplink is not None:
            placed.update(_around(placed[uplink], private, step))
    lost = beside.get(None, [])
    for number, cell in enumerate(lost):
        placed[cell] = (2 * math.pi * number / len(lost), _EDGE)
    return {cell: _point(*placed[cell]) for cell in known}


def _order(
    cells: Sequence[int],
    neighbors: Mapping[int, Sequence[int]],
    *,
    public: set[int],
    ring: Sequence[int],
) -> list[int]:
    """Return the cells on circles: the ring, then other public cells, neighbours side by side."""
    known = set(cells)
    order = [cell for cell in dict.fromkeys(ring) if cell in known]
    seen = set(order)
    for start in cells if not public else sorted(public & known):
        stack = [start]
        while stack:
            cell = stack.pop()
            if cell in seen or (public and cell not in public):
                continue
            seen.add(cell)
            order.append(cell)
            stack.extend(reversed([it for it in neighbors.get(cell, ()) if it in known]))
    return order


def _circles(order: Sequence[int], *, is_ladder: bool) -> tuple[dict[int, float], dict[int, float]]:
    count = len(order)
    if not is_ladder or count <= _SMALL:
        angles = {cell: 2 * math.pi * number / count for number, cell in enumerate(order)}
        return angles, dict.fromkeys(order, _ONE if count > 1 else 0.0)
    half = (count + 1) // 2
    angles = {cell: 2 * math.pi * (number % half) / half for number, cell in enumerate(order)}
    radii = {cell: _OUTER if number < half else _INNER for number, cell in enumerate(order)}
    return angles, radii


def _around(at: Place, private: Sequence[int], step: float) -> dict[int, Place]:
    """Return angles and radii of the private cells of an uplink: outside, or inside the inner."""
    angle, radius = at
    away = radius - _BESIDE if radius == _INNER else radius + _BESIDE
    width = 2 * math.pi if radius == 0 else step
    count = len(private)
    return {
        cell: (angle + width * ((number + 0.5) / count - 0.5) * (0.9 if radius else 1.0), away)
        for number, cell in enumerate(private)
    }


def _point(angle: float, radius: float) -> Place:
    # The first cell is at the top, and the next one to the right.
    middle = SIZE / 2
    x, y = middle + radius * math.sin(angle), middle - radius * math.cos(angle)
    return round(x, 1), round(y, 1)


def _neighbors(links: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for one, other in sorted(links):
        found.setdefault(one, []).append(other)
        found.setdefault(other, []).append(one)
    return found
