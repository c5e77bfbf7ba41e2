"""The registry's announcement of the whole UVN, and its view of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from uno import __version__
from uno.controller import rollout as rollouts
from uno.controller import rollout_events
from uno.controller.release_record import ReleaseRecord
from uno.controller.rollout import CellObservation, Rollout
from uno.model import package_formats
from uno.model.messages import REGISTRY, UvnAnnouncement
from uno.model.status import UvnView
from uno.statesync import state_database
from uno.statesync.state_database import StateDatabase


def announcement(
    record: ReleaseRecord,
    rollout: Rollout,
    observed: Mapping[int, CellObservation],
    *,
    unreachable_from_registry: tuple[int, ...],
    release_waits: bool,
    waiting: int = 0,
) -> UvnAnnouncement:
    """Return what the registry announces to all cells.

    `unreachable_from_registry` are the cells from which the registry receives nothing directly.
    With `release_waits`, a newer generation is released once the current rollout has ended.
    `waiting` counts the changes that are not released.
    """
    # `rollout` is newer than `record`, which is written a moment later.
    release = record.previous if rollout.failure else record.release
    ahead = rollouts.cells_ahead(rollout, observed)
    newest = rollout.newest_generation
    reason = rollout.failure or (rollout_events.registry_outdated(ahead, newest) if ahead else "")
    progress = rollouts.progress(rollout, observed)
    return UvnAnnouncement(
        generation=release.generation if release else 0,
        cells={cell: it.generation for cell, it in release.cells.items()} if release else {},
        unreachable_from_registry=unreachable_from_registry,
        unproven=tuple(sorted(rollouts.unproven_cells(rollout, observed))),
        version=__version__,
        rollout=progress + ("; a newer generation waits" if release_waits else ""),
        undone=rollout.release.generation if reason else None,
        reason=reason,
        waiting=waiting,
        package_format=package_formats.FORMAT,
    )


def registry_view(
    announced: UvnAnnouncement, received: StateDatabase, *, uvn: str, now: float
) -> UvnView:
    """Return the whole UVN as the registry observes it."""
    seen = state_database.view(
        received, announced, uvn=uvn, viewer=REGISTRY, registry=True, now=now
    )
    # A relayed announcement in `received` may be older than `announced`. A cell that was added by a
    # release that failed has no package to return to.
    cells = tuple(it for it in seen.cells if it.id in announced.cells)
    return replace(seen, cells=cells, undone=announced.undone)
