"""How many commands a lab runs at once, and how long it waits for what it starts. Pure.

All nodes share the machine's processors: what is started takes time in proportion to the cells, and
the more so the fewer processors there are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The commands that run at once, and deadlines in seconds.

    `command` is for one command on one node, `network` from the first `uno service up` until all
    pairs reach each other, `agents` from the first agent until all views are healthy.
    """

    at_once: int
    command: float
    network: float
    agents: float


def pace(cells: int, processors: int) -> Pace:
    """Return the pace of a lab with so many cells on a machine with so many processors."""
    processors = max(1, processors)
    share = cells / processors
    # More than a few for each processor gain nothing, and each takes longer. Labs of some cells
    # start all of them at once, as sites after a power cut.
    return Pace(
        at_once=max(8, 4 * processors),
        command=120 + 4 * share,
        network=60 + 8 * share,
        agents=120 + 12 * share,
    )
