"""A release: the package of each cell in it, the release before it, and its progress. Pure."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace

from uno.model.messages import Activation


class ReleasedPackage(Struct, frozen=True, kw_only=True):
    """A cell's package in a release: its generation, and its `Manifest.content`."""

    name: str
    generation: int
    content: str


class Release(Struct, frozen=True, kw_only=True):
    """A generation that was released, and the package of each cell in it.

    Offers with a sequence of `attempt` or higher belong to this release. An ack of an offer with a
    lower sequence belongs to an earlier attempt.
    """

    generation: int
    cells: dict[int, ReleasedPackage]
    attempt: int = 0


class ReleaseRecord(Struct, frozen=True, kw_only=True):
    """The stored state of a release.

    `previous` is the release before, which stays in force if this one fails; `failure` is the
    reason if it does, empty otherwise. `activation` is the newest one that was published. `settled`
    is set once all reachable cells have confirmed. `running` maps each cell to the generation that
    it was last known to run.
    """

    release: Release
    previous: Release | None = None
    activation: Activation | None = None
    settled: bool = False
    failure: str = ""
    running: dict[int, int] = {}


def next_record(before: ReleaseRecord | None, release: Release) -> ReleaseRecord:
    """Return the record of `release`, which follows the release in `before`.

    It is `before` itself if that has the same packages and has not failed.
    """
    if before is None:
        return ReleaseRecord(release=release)
    old = before.release
    if (old.generation, old.cells) == (release.generation, release.cells):
        if not before.failure:
            return before
        return ReleaseRecord(release=release, previous=before.previous, running=before.running)
    was_begun = before.settled or before.activation is not None
    previous = old if was_begun and not before.failure else before.previous
    return ReleaseRecord(release=release, previous=previous, running=before.running)


def with_retry(record: ReleaseRecord, cells: Collection[int], *, attempt: int) -> ReleaseRecord:
    """Return `record` with the packages of `cells`, which rolled back alone, offered again.

    Acks of offers with a sequence below `attempt` no longer count.
    """
    activation = record.activation
    if activation is not None:
        kept = {cell: it for cell, it in activation.cells.items() if cell not in cells}
        activation = replace(activation, cells=kept)
    release = replace(record.release, attempt=attempt)
    return replace(record, release=release, activation=activation)
