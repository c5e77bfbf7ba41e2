"""Formats of packages: which one a cell reads, and which one a registry writes. Pure.

Every uno reads the format `FORMAT` and the one before it, and writes both. Fields may be added
within a format: an older reader keeps the file as it is and ignores them. What an older reader must
not ignore makes a new format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct

FORMAT = 1
"""The newest format that this uno reads and writes."""

FIRST = 1
"""What an agent reads that does not advertise it, and what a registry wrote that has no record."""


def readable(newest: int) -> range:
    """Return the formats that a uno with `newest` reads, and that it writes."""
    return range(max(FIRST, newest - 1), newest + 1)


class Agreement(Struct, frozen=True, kw_only=True):
    """The format that a registry writes.

    `held_back_by` are the cells that do not read the registry's newest one, `cut_off` those that do
    not read `format` either, both by id.
    """

    format: int
    held_back_by: tuple[int, ...] = ()
    cut_off: tuple[int, ...] = ()


def agreed(newest_of: Mapping[int, int], *, newest: int) -> Agreement:
    """Return the oldest format that the agents need and a registry with `newest` writes.

    `newest_of` maps cells to the newest format that their agents have advertised. A cell without an
    agent holds nothing back: a person installs its package, and an older uno refuses that one and
    keeps the one that it has.
    """
    written = readable(newest)
    wanted = min(newest_of.values(), default=newest)
    chosen = max(written.start, min(wanted, newest))
    return Agreement(
        format=chosen,
        held_back_by=tuple(sorted(cell for cell, it in newest_of.items() if it < newest)),
        cut_off=tuple(sorted(c for c, it in newest_of.items() if chosen not in readable(it))),
    )


def lines(found: Agreement, names: Mapping[int, str], *, newest: int) -> Iterator[str]:
    """Yield who holds a registry with `newest` back, and who is cut off; nothing if nobody."""
    if found.held_back_by:
        yield (
            f"packages are written in format {found.format}, not in {newest}: update uno on"
            f" {_named(found.held_back_by, names)}"
        )
    if found.cut_off:
        yield (
            f"{_named(found.cut_off, names)} cannot read packages of format {found.format}:"
            f" {_whose(found.cut_off)} and the registry's are too far apart"
        )


def _whose(cells: Collection[int]) -> str:
    return "its uno" if len(cells) == 1 else "their versions of uno"


def _named(cells: Iterable[int], names: Mapping[int, str]) -> str:
    return ", ".join(names.get(cell, f"cell {cell}") for cell in cells)
