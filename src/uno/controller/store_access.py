"""The registry's directory, as its agent reads and writes it.

Each method opens the registry and closes it again, so that other commands can use it in between;
it may be called in another thread.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from uno.controller import public_directory, release_store, root_keys, root_vpn
from uno.controller.root_keys import RootKeys
from uno.registry.changes import operations
from uno.registry.publish import keygen
from uno.registry.store import directory, format_rows, trust_rows
from uno.registry.store.directory import Layout, Registry
from uno.registry.store.generation_store import StoreError, UnknownGeneration
from uno.statesync.envelope import signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from uno.controller.release_record import ReleasedPackage, ReleaseRecord
    from uno.model.network_directory import Directory
    from uno.model.plan import Plan
    from uno.model.trust import TrustUpdate
    from uno.registry.store.generation_store import Store

# Sequences are reserved in blocks of this size; a restart skips the rest of a block.
_BLOCK = 10_000

# The most recent generations that are searched for keys of the root VPN that cells may still have,
# and the number of different ones to find.
_SEARCHED = 100
_FALLBACKS = 6


class StoreSnapshot(Struct, frozen=True, kw_only=True):
    """What the agent works from: the record of the release, and the plans and keys it needs.

    `newest_generation` is that of the registry. `plans` holds the relevant ones by generation.
    `fallback_generations` differ in keys or addresses of the root VPN, the most likely first.
    """

    record: ReleaseRecord
    newest_generation: int
    plans: dict[int, Plan]
    root_keys: RootKeys
    fallback_generations: tuple[int, ...]
    trust: TrustUpdate

    @property
    def plan(self) -> Plan:
        """The plan of the release."""
        return self.plans[self.record.release.generation]

    @property
    def revoked(self) -> frozenset[int]:
        """The cells whose keys in the release are revoked."""
        return self.trust.revoked_cells(self.record.release.generation)

    def root_plan(self, generation: int) -> Plan:
        """Return the plan of a generation for the root VPN: with the members of the release.

        A cell whose keys in it are revoked has those of the release, or none. Raises `KeyError`.
        """
        release = root_vpn.without(self.plan, self.revoked)
        plan = root_vpn.without(self.plans[generation], self.trust.revoked_cells(generation))
        return root_vpn.with_members_of(plan, release)


class StoreAccess:
    """Access to a registry's directory. All methods raise `UnoError`."""

    def __init__(self, root: Path) -> None:
        """Read nothing yet."""
        self._root = root
        self._layout = Layout(root)

    def signer(self) -> tuple[str, Callable[[bytes], bytes]]:
        """Return the registry's public key in base64, and the function that signs with it."""
        with self._opened() as registry:
            secret = registry.store.secrets()[keygen.SIGNING]
        return keygen.text(secret.public or b""), signer(keygen.text(secret.private))

    def trust(self) -> TrustUpdate:
        """Return the statement on trust that is in force."""
        with self._opened() as registry:
            return trust_rows.read(registry.store.database)

    def changed_at(self) -> int:
        """Return a number that changes with each change of the store; 0 if it cannot be read."""
        try:
            return self._layout.database.stat().st_mtime_ns
        except OSError:
            return 0

    def reserve_sequences(self, above: int) -> range:
        """Return unused sequences, all of them above `above`."""
        with self._opened() as registry:
            first = release_store.reserve(registry.store, _BLOCK, above=above)
        return range(first, first + _BLOCK)

    def release(self, *, attempt: int) -> StoreSnapshot:
        """Release the newest generation, and return the new state."""
        with operations.opened(self._root, for_change=True) as registry:
            record = release_store.release(registry, attempt=attempt)
            return _snapshot(registry.store, record)

    def snapshot(self) -> StoreSnapshot | None:
        """Return the state, None if nothing was ever released."""
        with self._opened() as registry:
            record = release_store.read(registry.store)
            return _snapshot(registry.store, record) if record else None

    def newest_generation(self) -> int:
        """Return the number of the newest generation."""
        with self._opened() as registry:
            return registry.store.history()[-1].number

    def count_not_released(self) -> int:
        """Return the number of changes that are not released."""
        with self._opened() as registry:
            return len(release_store.not_released(registry.store).changes)

    def note_formats(self, formats: Mapping[int, int]) -> None:
        """Record the newest format of packages that the agents of these cells read."""
        with self._opened() as registry:
            database = registry.store.database
            known = format_rows.advertised(database)
            now = {**known, **formats}
            if now != known:
                with registry.store.transaction():
                    format_rows.put_advertised(database, now)

    def newest_plan(self) -> Plan:
        """Return the plan of the newest generation."""
        with self._opened() as registry:
            return registry.store.head().plan

    def write(self, record: ReleaseRecord) -> None:
        """Replace the record of the release."""
        with self._opened() as registry:
            release_store.write(registry.store, record)

    def plans(self, generations: Iterable[int]) -> dict[int, Plan]:
        """Return the plans of `generations`, but for those that the registry does not have."""
        with self._opened() as registry:
            return dict(_plans(registry.store, generations))

    def directory(self, generation: int) -> Directory | None:
        """Return the public facts of a generation, None if the registry does not have it."""
        with self._opened() as registry:
            try:
                found = registry.store.generation(generation)
            except UnknownGeneration:
                return None
        return public_directory.directory_of(generation, found.uvn, found.plan)

    def package(self, cell: int, package: ReleasedPackage) -> bytes:
        """Return a released package."""
        return release_store.package(self._layout, cell, package)

    def prune_root_keys(self, release: Plan) -> None:
        """Delete the keys of the root VPN that neither `release` nor the newest plan uses."""
        with self._opened() as registry:
            root_keys.prune(registry.store, (release, registry.store.head().plan))

    def _opened(self) -> AbstractContextManager[Registry]:
        # Not as a command does, which completes what an interrupted one left to do.
        return directory.opened(self._root, for_change=False)


def _snapshot(store: Store, record: ReleaseRecord) -> StoreSnapshot:
    keys = root_keys.read(store)
    previous = (record.previous.generation,) if record.previous else ()
    first = (record.release.generation, *previous)
    plans = dict(_plans(store, (*first, *sorted(record.running.values(), reverse=True))))
    found = StoreSnapshot(
        record=record,
        newest_generation=store.history()[-1].number,
        plans=plans,
        root_keys=keys,
        fallback_generations=(),
        trust=trust_rows.read(store.database),
    )
    fallbacks = dict(_fallbacks(store, found))
    return replace(found, plans=plans | fallbacks, fallback_generations=tuple(fallbacks))


def _fallbacks(store: Store, snapshot: StoreSnapshot) -> Iterator[tuple[int, Plan]]:
    """Yield generations that differ in the root VPN, and whose keys are still stored."""
    plans, keys = snapshot.plans, snapshot.root_keys
    earlier = store.history()[: -_SEARCHED - 1 : -1] if keys.has_earlier else ()
    found: list[Plan] = []
    for number in (*plans, *(entry.number for entry in earlier)):
        plan = plans.get(number) or store.generation(number).plan
        usable = replace(snapshot, plans={**plans, number: plan}).root_plan(number)
        if all(root_vpn.differs(usable, other) for other in found) and keys.of(usable):
            found.append(usable)
            yield number, plan
        if len(found) > _FALLBACKS:
            return


def _plans(store: Store, generations: Iterable[int]) -> Iterator[tuple[int, Plan]]:
    for number in generations:
        try:
            yield number, store.generation(number).plan
        except (UnknownGeneration, StoreError):
            # A restored registry may not have the generations that cells run.
            continue
