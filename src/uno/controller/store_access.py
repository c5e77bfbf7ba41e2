"""What the registry's agent reads from its directory and keeps there, one look at a time.

Each look opens the registry and closes it again, so that other commands can use it meanwhile, and
may be made in another thread.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uno.controller import release_store, root_keys
from uno.controller.root_keys import RootKeys
from uno.registry.changes import operations
from uno.registry.publish import keygen
from uno.registry.store import directory
from uno.registry.store.directory import Layout, Registry
from uno.registry.store.generation_store import StoreError, UnknownGeneration
from uno.statesync.envelope import signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from uno.controller.release_record import ReleasedPackage, ReleaseRecord
    from uno.model.plan import Plan
    from uno.registry.store.generation_store import Store

# So many sequences are reserved at once: a restart skips what is left of them.
_BLOCK = 10_000

# How many generations are looked at for keys of the root VPN that cells may still have, and how
# many different ones are tried.
_LOOK_BACK = 100
_TRIED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the agent works from: `plans` has those of the generations that matter, by number.

    `ways` are generations that differ in keys or addresses of the root VPN, the most likely first;
    `newest` is the registry's newest generation.
    """

    record: ReleaseRecord
    newest: int
    plans: dict[int, Plan]
    root: RootKeys
    ways: tuple[int, ...]

    @property
    def plan(self) -> Plan:
        """The plan of what is released."""
        return self.plans[self.record.release.generation]


class Archive:
    """A registry's directory, for its agent."""

    def __init__(self, root: Path) -> None:
        """Look at nothing yet."""
        self._root = root
        self._layout = Layout(root)

    def signer(self) -> tuple[str, Callable[[bytes], bytes]]:
        """Return the registry's public key in base64, and what signs with it."""
        with self._opened() as registry:
            secret = registry.store.secrets()[keygen.SIGNING]
        return keygen.text(secret.public or b""), signer(keygen.text(secret.private))

    def reserve(self, above: int) -> range:
        """Return sequences that are used once, all of them above `above`."""
        with self._opened() as registry:
            first = release_store.reserve(registry.store, _BLOCK, above=above)
        return range(first, first + _BLOCK)

    def release(self, *, attempt: int) -> Known:
        """Release the newest generation, and return what is known then."""
        with operations.opened(self._root, for_change=True) as registry:
            record = release_store.release(registry, attempt=attempt)
            return _known(registry.store, record)

    def known(self) -> Known | None:
        """Return what is known of what is released, None if nothing is."""
        with self._opened() as registry:
            record = release_store.read(registry.store)
            return _known(registry.store, record) if record else None

    def newest(self) -> int:
        """Return the number of the newest generation."""
        with self._opened() as registry:
            return registry.store.history()[-1].number

    def keep(self, record: ReleaseRecord) -> None:
        """Keep what is known of the release."""
        with self._opened() as registry:
            release_store.write(registry.store, record)

    def plans(self, numbers: Iterable[int]) -> dict[int, Plan]:
        """Return the plans of generations; those that are not there any more are left out."""
        with self._opened() as registry:
            return dict(_plans(registry.store, numbers))

    def package(self, cell: int, packaged: ReleasedPackage) -> bytes:
        """Return a released package."""
        return release_store.package(self._layout, cell, packaged)

    def prune(self, release: Plan) -> None:
        """Delete the keys of the root VPN that neither `release` nor the newest plan has."""
        with self._opened() as registry:
            root_keys.prune(registry.store, (release, registry.store.head().plan))

    def _opened(self) -> AbstractContextManager[Registry]:
        # Not as a command does, which completes what another one left to do.
        return directory.opened(self._root, for_change=False)


def _known(store: Store, record: ReleaseRecord) -> Known:
    root = root_keys.read(store)
    standing = (record.previous.generation,) if record.previous else ()
    first = (record.release.generation, *standing)
    plans = dict(_plans(store, (*first, *sorted(record.runs.values(), reverse=True))))
    ways = dict(_ways(store, first, root, plans))
    return Known(
        record=record,
        newest=store.history()[-1].number,
        plans=plans | ways,
        root=root,
        ways=tuple(ways),
    )


def _ways(
    store: Store, first: tuple[int, ...], root: RootKeys, plans: dict[int, Plan]
) -> Iterator[tuple[int, Plan]]:
    """Yield generations that differ in the root VPN, and whose keys are still there."""
    release = plans[first[0]]
    earlier = store.history()[: -_LOOK_BACK - 1 : -1] if root.has_earlier else ()
    found: list[Plan] = []
    for number in (*plans, *(entry.number for entry in earlier)):
        plan = plans.get(number) or store.generation(number).plan
        is_other = all(root_keys.differs(plan, other) for other in found)
        if is_other and root.of(root_keys.merged(plan, release)):
            found.append(plan)
            yield number, plan
        if len(found) > _TRIED:
            return


def _plans(store: Store, numbers: Iterable[int]) -> Iterator[tuple[int, Plan]]:
    for number in numbers:
        try:
            yield number, store.generation(number).plan
        except (UnknownGeneration, StoreError):
            # A restored registry does not know what cells may run.
            continue
