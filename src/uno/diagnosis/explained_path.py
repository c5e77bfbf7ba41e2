"""A path between two places, in both directions: its hops, and the first cause of a fault. Pure."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class HopState(StrEnum):
    """Whether a link is up as its ends report it: one that either reports as down is down."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class Cause(Struct, frozen=True, kw_only=True):
    """What is wrong (`what`) at the cell or place `where`, and what to do."""

    where: str
    what: str
    remedy: str


class Hop(Struct, frozen=True, kw_only=True):
    """A link of the path, from the cell `source` to `target`, with what its ends report.

    `interface` is that at the source, empty if it is not known. The measures are those of the
    source, or where that reports nothing, of the target; as in `LinkState`.
    """

    source: str
    target: str
    state: HopState
    interface: str = ""
    handshake: int | None = None
    bgp: str = ""
    bfd: str = ""
    rtt: float | None = None
    loss: float | None = None
    mtu: int | None = None


class Direction(Struct, frozen=True, kw_only=True):
    """One direction. `planned` is a shortest path of the plan, `used` one over links that are up.

    `used` is empty where no links that are known to be up lead there. `hops` are those of the path
    used, or else of the one planned. `reaches` is None where nothing is known. `remarks` are wrong
    on the way, and no cause.
    """

    source: str
    target: str
    planned: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    hops: tuple[Hop, ...] = ()
    reaches: bool | None = None
    cause: Cause | None = None
    remarks: tuple[str, ...] = ()


class Explanation(Struct, frozen=True, kw_only=True):
    """Both directions between two places, as they were named."""

    uvn: str
    viewer: str
    a: str
    b: str
    forth: Direction
    back: Direction

    @property
    def reaches(self) -> bool | None:
        """Whether packets get there and answers back, None where that is not known."""
        both = (self.forth.reaches, self.back.reaches)
        if False in both:
            return False
        return None if None in both else True

    @property
    def exit_status(self) -> int:
        """0 if they reach each other, 1 where that is not known, 2 if not."""
        return {True: 0, None: 1, False: 2}[self.reaches]
