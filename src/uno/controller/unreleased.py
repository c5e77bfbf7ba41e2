"""What the registry has decided and not released yet, so that the cells do not have it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from uno.controller.release_record import ReleaseRecord
from uno.model.uvn import Uvn
from uno.registry.changes import history

_BAN = "ban of "


class Unreleased(Struct, frozen=True, kw_only=True):
    """The changes that are not released, and what they ban or delete.

    `changes` maps each generation to its reason, the oldest first; `revoked` are phrases, bans
    first: `ban of particle john`.
    """

    changes: Mapping[int, str] = field(default_factory=dict)
    revoked: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)


def in_force(record: ReleaseRecord) -> int:
    """Return the generation that cells are to run, 0 for none: one that failed is not in force."""
    release = record.previous if record.failure else record.release
    return release.generation if release else 0


def unreleased(
    record: ReleaseRecord,
    reasons: Mapping[int, str],
    *,
    packages: Mapping[int, int],
    released: Uvn | None,
    newest: Uvn,
) -> Unreleased:
    """Compare what is in force with the newest generation; nothing if no cell's package differs.

    `packages` maps each cell to the generation of its newest package, `reasons` each generation to
    its own. `released` is the definition that is in force, None if there is none.
    """
    release = record.previous if record.failure else record.release
    known = {cell: each.generation for cell, each in release.cells.items()} if release else {}
    if known == packages:
        return Unreleased()
    base = in_force(record)
    return Unreleased(
        changes={number: why for number, why in reasons.items() if number > base},
        revoked=tuple(_revoked(released, newest)) if released else (),
    )


def lines(found: Unreleased, *, agent_runs: bool = False) -> Iterator[str]:
    """Yield what is not released, for people: bans and deletions before all else.

    Where the registry's agent runs, it publishes bans at once; one that starts does so too.
    """
    if not found:
        return
    count = len(found.changes)
    yield f"{count} change{'' if count == 1 else 's'} not released: uno sync"
    refused = (
        "cells in contact refuse it already, before uno sync"
        if agent_runs
        else "cells refuse it once the registry's agent runs"
    )
    for each in found.revoked:
        yield f"  {each}: {refused}" if each.startswith(_BAN) else f"  {each}"
    yield from (f"  generation {number}: {why}" for number, why in found.changes.items())


def _revoked(old: Uvn, new: Uvn) -> Iterator[str]:
    found = history.differences(old, new)
    yield from (f"{_BAN}{each.thing}" for each in found if each.key == "excluded" and each.after)
    yield from (f"deletion of {each.thing}" for each in found if each.sign == "-")
