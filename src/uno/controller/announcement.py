"""What the registry says of the whole UVN, and what it sees of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from uno import __version__
from uno.controller import rollout as rolling
from uno.controller import rollout_events
from uno.controller.release_record import ReleaseRecord
from uno.controller.rollout import Heard, Rollout
from uno.model.messages import REGISTRY, UvnAnnouncement
from uno.model.status import UvnView
from uno.statesync import state_database
from uno.statesync.state_database import StateDatabase


def announcement(
    record: ReleaseRecord,
    rollout: Rollout,
    heard: Mapping[int, Heard],
    *,
    unreachable_from_registry: tuple[int, ...],
    waits: bool,
) -> UvnAnnouncement:
    """Return what all are to know.

    `unreachable_from_registry` are cell ids; `waits` tells that a newer
    generation is to be released when what is under way has ended.
    """
    # The store is told a moment later.
    release = record.previous if rollout.failed else record.release
    ahead = rolling.ahead(rollout, heard)
    reason = rollout.failed or (rollout_events.older(ahead, rollout.newest) if ahead else "")
    return UvnAnnouncement(
        generation=release.generation if release else 0,
        cells={cell: it.generation for cell, it in release.cells.items()} if release else {},
        unreachable_from_registry=unreachable_from_registry,
        version=__version__,
        rollout=rolling.doing(rollout, heard) + ("; a newer generation waits" if waits else ""),
        undone=rollout.release.generation if reason else None,
        reason=reason,
    )


def view(said: UvnAnnouncement, heard: StateDatabase, *, uvn: str, now: float) -> UvnView:
    """Return the whole UVN as the registry sees it: what it says, and what it has heard."""
    seen = state_database.view(heard, said, uvn=uvn, viewer=REGISTRY, registry=True, now=now)
    # What others repeat of the registry's words may be older. A cell that came with what failed has
    # nothing to go back to.
    cells = tuple(it for it in seen.cells if it.id in said.cells)
    return replace(seen, cells=cells, undone=said.undone)
