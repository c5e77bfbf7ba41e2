"""The registry's agent: rolls out releases, and maintains the root VPN.

The agent keeps no state that it cannot find again: the release and the activation are in the store
before they are published, and the rest is advertised by the cells. So it may be killed at any
moment, and the next one continues.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs
from msgspec.structs import replace

from uno import control
from uno.controller import activation, announcement, release_record, rollout_events
from uno.controller import rollout as rollouts
from uno.controller.publisher import AnotherRegistry, DuplicateRegistry, Publisher
from uno.controller.receiver import CHANNELS, Receiver
from uno.controller.registry_bus import RegistryBus
from uno.controller.rollout import LIMITS, CellObservation, Rollout, RolloutLimits
from uno.controller.root_key_fallback import FALLBACK_SCHEDULE, FallbackSchedule
from uno.controller.root_network import RootNetwork
from uno.controller.store_access import StoreAccess, StoreSnapshot
from uno.diagnostics import UnoError
from uno.model.key_ids import cell_sealing
from uno.model.messages import REGISTRY
from uno.model.plan import Plan
from uno.planning.cell_plans import roster
from uno.ports.bus import Bus
from uno.ports.host import Desired
from uno.statesync import envelope
from uno.statesync.sequence import Sequence
from uno.statesync.timers import WATCH_LEASE

if TYPE_CHECKING:
    from uno.controller.registry_page import RegistryPage
    from uno.model.messages import Activation, UvnAnnouncement
    from uno.model.plan import Member
    from uno.model.status import UvnView
    from uno.model.trust import Revocation
    from uno.ports.bus import BusConfig, BusEvent

_log = logging.getLogger(__name__)

# Seconds between two passes without an event, at rest and during a rollout.
_IDLE_INTERVAL, _ROLLOUT_INTERVAL = 2.0, 0.25

# Seconds between two counts of the changes that are not released.
_COUNT_INTERVAL = 15.0

# Seconds to wait for more events after the first, so that one pass processes all of them.
_EVENT_DELAY = 0.02

# Seconds without an advertisement from any cell after which the agent joins the bus again.
_BUS_TIMEOUT = 120.0

# Seconds from an activation after which a cell that has not answered it directly may be cut off.
_TRIAL_SILENCE = 8.0

# Seconds between two passes that resolve the endpoints of cells that do not answer.
_ENDPOINT_INTERVAL = 30.0
# Seconds until a page is made again that could not be served.
_PAGE_INTERVAL = 30.0
# Upper bound, in seconds, for the delivery of the final announcement.
_FINAL_DELIVERY = 0.3


class ControllerEnvironment(Struct, frozen=True, kw_only=True):
    """The adapters and limits that the agent runs with.

    `make_bus` makes a participant that has not joined. `reconcile_host` makes the host as desired,
    and `refresh_endpoints` resolves the endpoints of cells that do not answer. `require_host`
    raises `UnoError` where this host, with these plans in use, cannot run the other. All three
    block, and other threads call them. `clock` is monotonic, in seconds; `notify_watchdog` is
    called after each pass; `has_ipv6` is whether the host has IPv6; `licence` is for the bus; `run`
    is the directory for sockets. `make_page` makes the registry's page, None if none is served.
    """

    make_bus: Callable[[], Bus]
    reconcile_host: Callable[[Desired], None]
    clock: Callable[[], float]
    require_host: Callable[[Collection[Plan], Plan], None] = lambda _in_use, _released: None
    refresh_endpoints: Callable[[], None] = lambda: None
    notify_watchdog: Callable[[], None] = lambda: None
    has_ipv6: bool = True
    make_page: Callable[[], RegistryPage] | None = None
    licence: str | None = None
    run: Path = control.RUN
    limits: RolloutLimits = LIMITS
    fallback_schedule: FallbackSchedule = FALLBACK_SCHEDULE


class RegistryAgent:
    """The agent of the registry in one directory. For one event loop."""

    _snapshot: StoreSnapshot
    _receiver: Receiver
    _rollout: Rollout
    _publisher: Publisher

    def __init__(self, root: Path, environment: ControllerEnvironment) -> None:
        """Change nothing yet."""
        self._environment = environment
        self._bus = RegistryBus(environment.make_bus)
        self._store = StoreAccess(root)
        self._sequence = Sequence(self._store.reserve_sequences)
        self._duplicate = DuplicateRegistry()
        self._network = RootNetwork(
            reconcile=environment.reconcile_host,
            configure_bus=self._configure_bus,
            schedule=environment.fallback_schedule,
            licence=environment.licence,
            has_ipv6=environment.has_ipv6,
        )
        self._server: control.ControlServer | None = None
        self._page: RegistryPage | None = None
        self._pass_lock = asyncio.Lock()
        self._wake = asyncio.Event()
        # Whether a pass is to be made without waiting.
        self._is_due = False
        self._events: deque[BusEvent] = deque()
        self._release_waits = self._keys_pruned = False
        # Cells that rolled back alone, and whose packages a person wants to be offered again.
        self._retry_cells: set[int] = set()
        # Why packages cannot be offered, as logged.
        self._not_offered: dict[int, str] = {}
        # The newest format of packages that agents read, as stored.
        self._formats: dict[int, int] = {}
        # The generation whose public facts are published.
        self._stated_generation = 0
        self._registry_key = ""
        self._store_mark = 0
        self._started_at = self._bus_joined_at = self._count_at = 0.0
        self._waiting = 0
        self._watched_until = -math.inf
        self._failure: UnoError | None = None

    async def run(
        self, *, release: bool = False, until: Callable[[UvnView], bool] | None = None
    ) -> UvnView:
        """Run until the view satisfies `until`, and return it; without it, until cancelled.

        With `release`, or if nothing was ever released, the newest generation is released first.
        However it ends, the root VPN is removed from the host. Raises `UnoError`.
        """
        try:
            await self._start(release=release)
            return await self._serve(until)
        finally:
            self._bus.close()
            await asyncio.shield(self._network.remove())

    def view(self) -> UvnView:
        """Return the whole UVN as the registry observes it now."""
        now = self._environment.clock()
        seen = announcement.registry_view(
            self._announcement(self._receiver.observations(now=now), now),
            self._receiver.database,
            uvn=self._snapshot.plan.uvn,
            now=now,
        )
        if self._failure is not None and not self._failure.transient:
            return structs.replace(seen, rollout=f"cannot go on: {self._failure.what}")
        if self._bus.problem:
            return structs.replace(seen, rollout=f"waits: {self._bus.problem}")
        return seen

    def _watch(self) -> None:
        """Have all cells advertise what they measure, as somebody watches the UVN here."""
        now = self._environment.clock()
        was_watched, self._watched_until = now < self._watched_until, now + WATCH_LEASE
        if not was_watched:
            self._is_due = True
            self._wake.set()

    async def release(self) -> None:
        """Release the newest generation: now, or once the current rollout may be replaced."""
        async with self._pass_lock:
            rollout, now = self._rollout, self._environment.clock()
            await self._follow_store(now)
            newest = await asyncio.to_thread(self._store.newest_generation)
            if newest == rollout.release.generation and not rollout.failure:
                self._retry_cells = set(rollout.release.cells)
                return
            self._release_waits = not rollout.is_replaceable(now, self._environment.limits)
            if not self._release_waits:
                await self._release()
        self._is_due = True
        self._wake.set()

    async def _start(self, *, release: bool) -> None:
        # If the passphrase is needed it is asked for here, before other parts run.
        self._registry_key, sign = self._store.signer()
        snapshot = self._store.snapshot()
        if snapshot is None:
            snapshot = self._store.release(attempt=self._sequence.next())
        identity, bus = snapshot.plan.identity, self._bus
        self._started_at = self._bus_joined_at = self._environment.clock()
        self._publisher = Publisher(bus, identity=identity, sign=sign, sequence=self._sequence)
        self._receiver = Receiver(
            identity=identity,
            registry_key=self._registry_key,
            members=_members(snapshot),
            since=self._started_at,
        )
        self._adopt(snapshot)
        if release:
            await self.release()
        await self._maintain_network({}, self._started_at)
        for channel in CHANNELS:
            bus.subscribe(channel)

    async def _serve(self, until: Callable[[UvnView], bool] | None) -> UvnView:
        identity = self._snapshot.plan.identity
        path = control.socket_path(identity, REGISTRY, run=self._environment.run)
        self._server = control.ControlServer(
            path,
            view=self.view,
            watched=self._watch,
            lans=lambda: self._receiver.database.lans,
            sync=self.release,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self._server.serve())
                passes = tasks.create_task(self._repeat_passes(until))
                endpoints = tasks.create_task(self._refresh_endpoints())
                page = tasks.create_task(self._serve_page())
                passes.add_done_callback(
                    lambda _: (serving.cancel(), endpoints.cancel(), page.cancel())
                )
        except ExceptionGroup as group:
            raise _cause(group) from None
        return passes.result()

    async def _serve_page(self) -> None:
        """Serve the registry's page, if it is to be served; the agent runs without it too."""
        make, warned = self._environment.make_page, ""
        while make is not None:
            self._page = make()
            try:
                await self._page.run(self.view, self._watch)
            except UnoError as error:
                if str(error) != warned:
                    warned = str(error)
                    _log.warning("no web page: %s", error)
            await asyncio.sleep(_PAGE_INTERVAL)

    async def _repeat_passes(self, until: Callable[[UvnView], bool] | None) -> UvnView:
        before = self.view()
        while True:
            async with self._pass_lock:
                await self._try_pass(goes_on=until is None)
            seen = self.view()
            self._log_changes(before, seen)
            before = seen
            self._show_changes()
            if until is not None and until(seen):
                await self._publish_final_announcement()
                return seen
            self._environment.notify_watchdog()
            is_stuck = self._failure is not None and not self._failure.transient
            is_active = (bool(seen.rollout) or self._release_waits) and not is_stuck
            await self._wait(_ROLLOUT_INTERVAL if is_active else _IDLE_INTERVAL)

    def _show_changes(self) -> None:
        """Show what has changed to clients and readers."""
        if self._server is not None:
            self._server.changed()
        if self._page is not None:
            self._page.changed()

    def _log_changes(self, before: UvnView, after: UvnView) -> None:
        for line in rollout_events.events(before, after):
            _log.info("%s", line)
        failure = rollout_events.failure(after)
        if failure and failure != rollout_events.failure(before):
            _log.warning("%s", failure)

    async def _publish_final_announcement(self) -> None:
        """Withdraw the announcement of a rollout that has ended."""
        now = self._environment.clock()
        final = self._announcement(self._receiver.observations(now=now), now)
        self._publisher.announce(final, now=now, is_final=True)
        await asyncio.sleep(_FINAL_DELIVERY)

    async def _refresh_endpoints(self) -> None:
        while True:
            await asyncio.sleep(_ENDPOINT_INTERVAL)
            try:
                await asyncio.to_thread(self._environment.refresh_endpoints)
            except UnoError as error:
                _log.warning("the endpoints of cells could not be refreshed: %s", error)

    async def _wait(self, longest: float) -> None:
        """Wait until a pass is due: by time, by news of a cell, or since something is released.

        What is not authentic is no news, so that a flood of it costs no passes.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(longest):
                while not self._is_due:
                    await self._wake.wait()
                    self._wake.clear()
                    await asyncio.sleep(_EVENT_DELAY)
                    if self._receive_events(self._environment.clock()):
                        self._is_due = True
        self._is_due = False

    def _receive_events(self, now: float) -> bool:
        """Process what has arrived, and return whether there is news."""
        news = False
        while self._events:
            news |= self._receiver.receive(self._events.popleft(), now=now)
        return news

    async def _try_pass(self, *, goes_on: bool) -> None:
        """Make a pass; a failure is logged once, and the next pass tries again.

        Only an agent that `goes_on` tries again what a person has to mend, such as a full disk: the
        root VPN stays up meanwhile. Raises `UnoError`.
        """
        try:
            await self._pass()
        except UnoError as error:
            if isinstance(error, AnotherRegistry) or not (error.transient or goes_on):
                raise
            if str(error) != str(self._failure):
                _log.warning("%s", error)
            self._failure = error
            with suppress(UnoError):
                self._publisher.refresh(now=self._environment.clock())
        else:
            self._failure = None

    async def _pass(self) -> None:
        now = self._environment.clock()
        self._receive_events(now)
        self._receiver.accept_waiting(now=now)
        self._exceed_own_sequence(now)
        await self._follow_store(now)
        if self._release_waits and self._rollout.is_replaceable(now, self._environment.limits):
            await self._release()
            self._release_waits = False
        observed = self._receiver.observations(now=now)
        await self._offer_again(observed)
        rollout = rollouts.step(self._rollout, observed, now=now, limits=self._environment.limits)
        if rollouts.cells_ahead(rollout, observed) or rollouts.unproven_cells(rollout, observed):
            newest = await asyncio.to_thread(self._store.newest_generation)
            rollout = replace(rollout, newest_generation=newest)
        await self._store_progress(rollout, observed)
        await self._note_formats(observed)
        await self._count_not_released(now)
        self._publish(observed, now)
        await self._publish_directory()
        await self._maintain_network(observed, now)
        await self._prune_root_keys(observed)

    async def _note_formats(self, observed: dict[int, CellObservation]) -> None:
        advertised = {
            cell: it.status.package_format for cell, it in observed.items() if it.status is not None
        }
        if self._formats | advertised != self._formats:
            await asyncio.to_thread(self._store.note_formats, advertised)
            self._formats |= advertised

    async def _count_not_released(self, now: float) -> None:
        if now >= self._count_at:
            self._count_at = now + _COUNT_INTERVAL
            self._waiting = await asyncio.to_thread(self._store.count_not_released)

    async def _offer_again(self, observed: dict[int, CellObservation]) -> None:
        """Offer the packages again that cells rejected alone, if a person has asked for it."""
        cells = self._retry_cells & rollouts.rejecting_cells(self._rollout, observed)
        if not cells or not self._rollout.settled:
            return
        attempt = self._sequence.next()
        record = release_record.with_retry(self._snapshot.record, cells, attempt=attempt)
        await asyncio.to_thread(self._store.write, record)
        self._retry_cells -= cells
        self._adopt(replace(self._snapshot, record=record))

    async def _release(self) -> None:
        newest = await asyncio.to_thread(self._store.newest_plan)
        await asyncio.to_thread(self._environment.require_host, self._network.in_use, newest)
        attempt = self._sequence.next()
        snapshot = await asyncio.to_thread(partial(self._store.release, attempt=attempt))
        if snapshot.record != self._snapshot.record:
            self._adopt(snapshot)

    def _adopt(self, snapshot: StoreSnapshot) -> None:
        """Continue from what is in the store."""
        now = self._environment.clock()
        record, self._snapshot, self._keys_pruned = snapshot.record, snapshot, False
        self._count_at = now
        self._rollout = Rollout(
            release=record.release,
            receiving_since=self._started_at,
            started_at=now,
            newest_generation=snapshot.newest_generation,
            activated=record.activation.cells if record.activation else {},
            activated_at=now,
            activation_duration=_duration(record.activation),
            settled=record.settled,
            failure=record.failure,
        )
        self._state_trust(now)
        self._publisher.activate(self._activation_in_force())

    def _state_trust(self, now: float) -> None:
        """Publish what is revoked, and accept no more messages that are signed with such keys."""
        snapshot = self._snapshot
        self._receiver.trust(_members(snapshot), registry_key=self._registry_key, now=now)
        chain = snapshot.trust.registry_keys
        # A newer key is read with the next pass, and signs the statement then.
        if not chain or chain[-1].key == self._registry_key:
            self._publisher.state_trust(snapshot.trust)

    async def _follow_store(self, now: float) -> None:
        """Obey what another command has revoked: at once, and not only with the next release."""
        mark = self._store.changed_at()
        if mark == self._store_mark:
            return
        trust = await asyncio.to_thread(self._store.trust)
        if trust != self._publisher.trust:
            self._snapshot = replace(self._snapshot, trust=trust)
            registry_key, sign = await asyncio.to_thread(self._store.signer)
            if registry_key != self._registry_key:
                self._registry_key = registry_key
                self._publisher.sign_with(sign, trust)
                _log.info("signing with the registry's new key")
            self._state_trust(now)
            _log.info("published what is revoked")
        self._store_mark = mark

    def _activation_in_force(self) -> Activation | None:
        rollout = self._rollout
        return activation.undo(rollout) if rollout.failure else self._snapshot.record.activation

    async def _store_progress(self, rollout: Rollout, observed: dict[int, CellObservation]) -> None:
        """Make `rollout` the current state: in the store first, before it is published."""
        record = self._snapshot.record
        unproven = rollouts.unproven_cells(rollout, observed)
        running = {
            cell: it.running
            for cell, it in observed.items()
            if it.running is not None and cell not in unproven
        }
        running = record.running | running
        if rollout.activated != self._rollout.activated:
            activated = await self._activation(rollout, observed, running)
            rollout = replace(rollout, activation_duration=_duration(activated))
            record = structs.replace(record, activation=activated)
        record = structs.replace(record, settled=rollout.settled, failure=rollout.failure)
        if record != self._snapshot.record:
            record = structs.replace(record, running=running)
            await asyncio.to_thread(self._store.write, record)
            self._snapshot = replace(self._snapshot, record=record)
        self._rollout = rollout

    async def _activation(
        self, rollout: Rollout, observed: dict[int, CellObservation], running: dict[int, int]
    ) -> Activation:
        previous = self._snapshot.record.previous
        if previous is not None:
            running = dict.fromkeys(previous.cells, previous.generation) | running
        missing = set(running.values()) - self._snapshot.plans.keys()
        if missing:
            more = await asyncio.to_thread(self._store.plans, missing)
            self._snapshot = replace(self._snapshot, plans=self._snapshot.plans | more)
        return activation.activation(
            rollout,
            observed,
            plans=self._snapshot.plans,
            running=running,
            confirm_timeout=self._environment.limits.confirm_timeout,
            trust=self._snapshot.trust,
        )

    def _publish(self, observed: dict[int, CellObservation], now: float) -> None:
        publisher, release = self._publisher, self._rollout.release
        publisher.announce(self._announcement(observed, now), now=now)
        wanted = rollouts.cells_to_offer(self._rollout, observed)
        for cell in publisher.offered - wanted:
            publisher.withdraw(cell)
        indirect = self._unreachable_from_registry(now)
        for cell in sorted(wanted):
            content, make = release.cells[cell].content, partial(self._sealed_package, cell)
            try:
                publisher.offer(cell, content, make, near=cell in indirect, since=release.attempt)
            except UnoError as error:
                if self._not_offered.get(cell) != str(error):
                    self._not_offered[cell] = str(error)
                    _log.warning("%s", error)
        publisher.activate(self._activation_in_force())

    async def _publish_directory(self) -> None:
        """Publish the public facts of the generation in force, once a roll-out has ended."""
        record = self._snapshot.record
        release = record.previous if record.failure else record.release
        has_ended = record.settled or bool(record.failure)
        if release is None or not has_ended or release.generation == self._stated_generation:
            return
        facts = await asyncio.to_thread(self._store.directory, release.generation)
        if facts is not None:
            self._publisher.publish_directory(facts)
        self._stated_generation = release.generation

    def _unreachable_from_registry(self, now: float) -> frozenset[int]:
        """Return the cells whose messages others are to relay.

        A cell that a change has cut off from the registry is to be heard when it rolls back.
        """
        found = frozenset(self._receiver.unreachable_from_registry(now=now))
        rollout = self._rollout
        is_trial = bool(rollout.activated) and not rollout.settled
        if is_trial and now - rollout.activated_at >= _TRIAL_SILENCE:
            silent = self._receiver.silent_since(rollout.activated_at)
            found |= silent & rollout.activated.keys()
        return found

    def _announcement(self, observed: dict[int, CellObservation], now: float) -> UvnAnnouncement:
        announced = announcement.announcement(
            self._snapshot.record,
            self._rollout,
            observed,
            unreachable_from_registry=tuple(sorted(self._unreachable_from_registry(now))),
            release_waits=self._release_waits,
            waiting=self._waiting,
        )
        return structs.replace(announced, watched=now < self._watched_until)

    def _sealed_package(self, cell: int) -> bytes:
        plan = self._snapshot.plan
        return envelope.seal(
            self._store.package(cell, self._rollout.release.cells[cell]),
            public_key=plan.public_keys[cell_sealing(cell)],
            identity=plan.identity,
            cell=cell,
        )

    async def _maintain_network(self, observed: dict[int, CellObservation], now: float) -> None:
        rollout, previous = self._rollout, self._snapshot.record.previous
        is_activated = bool(rollout.activated) or rollout.settled
        is_in_force = is_activated and not rollout.failure
        release = rollout.release if is_in_force or previous is None else previous
        # Cells do not have the keys of a generation that was never activated.
        unused = None if is_activated else rollout.release.generation
        unreachable = self._receiver.unreachable(now=now) if observed else frozenset()
        if (
            observed
            and unreachable == observed.keys()
            and now - self._bus_joined_at >= _BUS_TIMEOUT
        ):
            self._bus_joined_at = now
            self._bus.rejoin()

        def is_answering(since: float) -> bool:
            return any(
                not rollouts.is_confirmed(rollout.release.cells[cell], observed[cell])
                for cell in self._receiver.received_since(since, now=now) - rollout.activated.keys()
            )

        await self._network.maintain(
            self._snapshot,
            wanted=release.generation,
            fallbacks=[it for it in self._snapshot.fallback_generations if it != unused],
            overlap=self._overlap(observed) - {unused},
            unreachable=unreachable,
            answering=is_answering,
            pending=not rollout.is_replaceable(now, self._environment.limits),
            now=now,
        )

    def _overlap(self, observed: dict[int, CellObservation]) -> set[int]:
        """Return the generations that cells may be reached with: none once all run the release."""
        rollout, record = self._rollout, self._snapshot.record
        cells = rollout.release.cells
        if rollout.settled and all(
            cell in observed and rollouts.is_confirmed(package, observed[cell])
            for cell, package in cells.items()
        ):
            return set()
        previous = {record.previous.generation} if record.previous else set()
        return {rollout.release.generation, *previous, *self._snapshot.fallback_generations}

    async def _prune_root_keys(self, observed: dict[int, CellObservation]) -> None:
        """Delete the earlier keys of the root VPN once all cells have confirmed the new ones."""
        rollout, keys = self._rollout, self._snapshot.root_keys
        if self._keys_pruned or not rollout.settled or not keys.has_earlier:
            return
        cells = rollout.release.cells
        if all(rollouts.is_confirmed(it, observed[c]) for c, it in cells.items() if c in observed):
            await asyncio.to_thread(self._store.prune_root_keys, self._snapshot.plan)
            snapshot = await asyncio.to_thread(self._store.snapshot)
            self._snapshot = snapshot or self._snapshot
            self._keys_pruned = True

    def _exceed_own_sequence(self, now: float) -> None:
        """Continue above the sequences that this registry used before it was restored."""
        seen = self._receiver.own_sequence()
        if seen > self._sequence.last:
            self._duplicate.note_jump(now=now)
            self._warn_of_lost_bans()
            self._sequence.above(seen)
            self._publisher.republish()

    def _warn_of_lost_bans(self) -> None:
        """Name what cells have as banned, and this registry has not: it was restored."""
        cells = _banned(self._receiver.database.trust().cells) - _banned(self._snapshot.trust.cells)
        names = {cell.member.id: cell.member.name for cell in self._snapshot.plan.cells}
        for cell in sorted(cells & names.keys()):
            _log.warning("cell %s was banned after the backup of this registry", names[cell])

    def _configure_bus(self, config: BusConfig, also: tuple[BusConfig, ...]) -> None:
        self._bus.configure(config, self._deliver, also=also)

    def _deliver(self, event: BusEvent) -> None:
        self._events.append(event)
        self._wake.set()


def _members(snapshot: StoreSnapshot) -> dict[int, Member]:
    """Return the members of the release, but for those whose keys in it are revoked."""
    members, revoked = roster(snapshot.plan).members, snapshot.revoked
    return {member.id: member for member in members if member.id not in revoked}


def _banned(revoked: Iterable[Revocation]) -> frozenset[int]:
    return frozenset(each.id for each in revoked if each.before is None)


def _duration(activated: Activation | None) -> float:
    return len(activated.batches) * activated.period if activated else 0.0


def _cause(group: ExceptionGroup[Exception]) -> Exception:
    """Return the first error for people if all tasks ended with such, the whole group otherwise."""
    expected, others = group.split(UnoError)
    while expected is not None and others is None:
        first = expected.exceptions[0]
        if isinstance(first, UnoError):
            return first
        expected = first
    return group
